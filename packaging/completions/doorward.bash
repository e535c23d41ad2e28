# bash completion for doorward: asks `doorward complete`, which knows the flags and the grammar of sentences.

_doorward() {
    local line=${COMP_LINE:0:COMP_POINT} word cut text IFS=$' \t\n'
    local -a words
    read -ra words <<<"$line"
    # Behind a blank a new word begins.
    case $line in *[[:blank:]]) words+=("") ;; esac
    # What stands before the program (sudo, say) is not ours.
    while [ ${#words[@]} -gt 1 ] && [ "${words[0]##*/}" != doorward ]; do words=("${words[@]:1}"); done
    [ ${#words[@]} -gt 1 ] || return
    word=${words[${#words[@]} - 1]}
    # The shell itself ends a word at these, and puts back only what comes behind.
    cut=${word%"${word##*[=:]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r text _; do
        if [ "$text" = :files ]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r text; do COMPREPLY+=("$text"); done < <(compgen -f -- "$word")
        else
            COMPREPLY+=("${text#"$cut"}")
        fi
    done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
}

complete -F _doorward doorward
