# fish completion for doorward: asks `doorward complete`, which knows the flags and the grammar of sentences.

function __doorward_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    for line in ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
        if string match --quiet ':files*' -- $line
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end

complete --command doorward --no-files --arguments '(__doorward_complete)'
