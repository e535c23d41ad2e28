//! Medians and spread; machines are noisy, so nothing else is quoted.

/// The value at a part of the way through the sorted list; 0 for none.
pub(super) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a short list"
    )]
    let at = ((sorted.len().saturating_sub(1)) as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

pub(super) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// `median (10th-90th of a hundred)`
pub(super) fn spread(values: &[f64], digits: usize) -> String {
    format!(
        "{:.digits$} ({:.digits$}-{:.digits$})",
        median(values),
        quantile(values, 0.1),
        quantile(values, 0.9)
    )
}

/// Ratios pair by pair, as both of a pair met the same noise.
pub(super) fn ratios(values: &[f64], base: &[f64]) -> Vec<f64> {
    values.iter().zip(base).map(|(value, base)| value / base).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_few() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((quantile(&[], 0.5)).abs() < f64::EPSILON);
        assert_eq!(spread(&[1.0, 2.0, 3.0], 1), "2.0 (1.0-3.0)");
        assert!((median(&ratios(&[2.0, 4.0], &[1.0, 2.0])) - 2.0).abs() < f64::EPSILON);
    }
}
