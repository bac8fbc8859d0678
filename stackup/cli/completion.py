"""Completion scripts for bash, zsh and fish, drawn from the commands as Typer knows them.

Words of the command line are fixed in the script; services come from `stackup config --services`, asked when a word is
completed.
"""

from __future__ import annotations

from typing import Literal

from typer._click.core import Command, Context
from typer.core import TyperGroup

Shell = Literal["bash", "zsh", "fish"]
_SERVICE_VERBS = ("up", "plan", "ps", "logs", "exec", "stop", "start", "restart", "kill", "inspect", "stats")


def script(shell: Shell, context: Context) -> str:
    root = context.command
    assert isinstance(root, TyperGroup)
    verbs = {name: command for name in root.list_commands(context) if (command := root.get_command(context, name))}
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](root, verbs, context)


def _options(command: Command, context: Context) -> list[str]:
    """Long options, short ones where there is no long one."""
    found: list[str] = []
    for parameter in command.get_params(context):
        if parameter.param_type_name == "option":
            found.append(max((*parameter.opts,), key=len))
    return found


def _words(command: Command, context: Context) -> str:
    below = command.list_commands(context) if isinstance(command, TyperGroup) else []
    return " ".join([*below, *_options(command, context)])


def _bash(root: Command, verbs: dict[str, Command], context: Context) -> str:
    cases = "\n".join(f'    {name}) words="{_words(command, context)}" ;;' for name, command in verbs.items())
    return f"""# stackup completion for bash: eval "$(stackup completion bash)"
_stackup() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" verb="" words="" at=1 globals=()
  while [ $at -lt $COMP_CWORD ]; do
    case "${{COMP_WORDS[at]}}" in
      -C|-f|--file|-p|--project-name|--root|--color)
        globals+=("${{COMP_WORDS[at]}}" "${{COMP_WORDS[at+1]}}"); at=$((at+1)) ;;
      -*) ;;
      *) verb="${{COMP_WORDS[at]}}"; break ;;
    esac
    at=$((at+1))
  done
  case "${{COMP_WORDS[COMP_CWORD-1]}}" in
    -C|--root) COMPREPLY=($(compgen -d -- "$current")); return ;;
    -f|--file) [ -n "$verb" ] || {{ COMPREPLY=($(compgen -f -- "$current")); return; }} ;;
  esac
  case "$verb" in
    "") words="{" ".join(verbs)} {" ".join(_options(root, context))}" ;;
{cases}
  esac
  case "$verb" in
    {"|".join(_SERVICE_VERBS)}) words="$words $(stackup "${{globals[@]}}" config --services 2>/dev/null)" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _stackup stackup
"""


def _zsh(root: Command, verbs: dict[str, Command], context: Context) -> str:
    # zsh runs bash's own completion functions; one script is enough to keep right.
    head = (
        '# stackup completion for zsh: eval "$(stackup completion zsh)"\nautoload -U +X bashcompinit && bashcompinit\n'
    )
    body = _bash(root, verbs, context).partition("\n")[2]
    return head + body


def _fish(root: Command, verbs: dict[str, Command], context: Context) -> str:
    lines = ["# stackup completion for fish: stackup completion fish | source", "complete -c stackup -f"]
    lines += [f"complete -c stackup -n __fish_use_subcommand {_fish_option(o)}" for o in _options(root, context)]
    for name, command in verbs.items():
        lines.append(
            f"complete -c stackup -n __fish_use_subcommand -a {name} -d {_quote(command.get_short_help_str(70))}"
        )
        seen = f"'__fish_seen_subcommand_from {name}'"
        below = command.list_commands(context) if isinstance(command, TyperGroup) else []
        lines += [f"complete -c stackup -n {seen} -a {word}" for word in below]
        lines += [f"complete -c stackup -n {seen} {_fish_option(o)}" for o in _options(command, context)]
    services = "'(stackup config --services 2>/dev/null)'"
    lines.append(f"complete -c stackup -n '__fish_seen_subcommand_from {' '.join(_SERVICE_VERBS)}' -a {services}")
    return "\n".join(lines) + "\n"


def _fish_option(option: str) -> str:
    return f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
