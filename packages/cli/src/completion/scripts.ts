/** Completion scripts. They know nothing of the commands: `sylph __complete` does. */
export const scripts = {
  bash: `# bash completion of sylph. Use: source <(sylph completion bash)
_sylph() {
    local IFS=$'\\n' word
    COMPREPLY=()
    while IFS=$'\\t' read -r word _; do
        COMPREPLY+=("$word")
    done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _sylph sylph
`,
  zsh: `#compdef sylph
# zsh completion of sylph. Use: sylph completion zsh > "\${fpath[1]}/_sylph"
_sylph() {
    local word description
    local -a found
    while IFS=$'\\t' read -r word description; do
        found+=("\${word//:/\\\\:}:$description")
    done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( \${#found} )); then
        _describe 'sylph' found
    else
        _files
    fi
}
if [ "$funcstack[1]" = "_sylph" ]; then
    _sylph "$@"
else
    compdef _sylph sylph
fi
`,
  fish: `# fish completion of sylph. Use: sylph completion fish > ~/.config/fish/completions/sylph.fish
function __sylph_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete -- $words[2..-1] 2>/dev/null
end
complete -c sylph -f -a '(__sylph_complete)'
`,
} as const;

/** A shell there is completion for. */
export type Shell = keyof typeof scripts;
