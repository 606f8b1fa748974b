export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** Where each shell looks for its script, for the person who installs it. */
export const installation: Readonly<Record<Shell, string>> = {
  bash: 'a2a-worker completion bash > ~/.local/share/bash-completion/completions/a2a-worker',
  zsh: 'a2a-worker completion zsh > "${fpath[1]}/_a2a-worker"',
  fish: 'a2a-worker completion fish > ~/.config/fish/completions/a2a-worker.fish',
}

/**
 * The scripts ask the program for the words that can follow, so that they know ids and names as they are now. Each
 * answer is a line: the word, a tab, and what it means. A line `:files` lets the shell complete names of files.
 */
export const scripts: Readonly<Record<Shell, string>> = {
  bash: `_a2a_worker() {
  local line word
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then compopt -o default; return; fi
    word=\${line%%$'\\t'*}
    COMPREPLY+=("$(printf '%q' "$word")")
  done < <(a2a-worker complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _a2a_worker a2a-worker`,
  zsh: `#compdef a2a-worker
_a2a_worker() {
  local line
  local -a words_and_meanings
  for line in "\${(@f)$(a2a-worker complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ $line == :files ]] && { _files; return }
    [[ -n $line ]] && words_and_meanings+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe 'a2a-worker' words_and_meanings
}
if [[ $funcstack[1] == _a2a-worker ]]; then _a2a_worker "$@"; else compdef _a2a_worker a2a-worker; fi`,
  fish: `function __a2a_worker_complete
  set -l answer (a2a-worker complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)
  if test "$answer[1]" = :files
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $answer
  end
end
complete -c a2a-worker -f -a '(__a2a_worker_complete)'`,
}
