"""Completion scripts for bash, zsh and fish, drawn from the commands as Typer knows them.

Verbs, options and their choices are fixed in the script. Services and images are asked for when a word is completed, of
the stack that the globals before the verb name: `stackup config --services`, `config --images`, `image ls`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from typer._click.core import Command, Context, Parameter
from typer.core import TyperGroup

from stackup.classes import dataclass
from stackup.cli.settings import GLOBALS

Shell = Literal["bash", "zsh", "fish"]
# What a positional is -> how its words are asked for, behind `stackup GLOBALS`.
_ASKED = {"service": "config --services", "key": "config --images", "image": "image ls",
          "--profile": "config --profiles"}  # fmt: skip
# Globals whose values are folders (d) or files (f).
_PATHS = {"-C": "d", "--root": "d", "--project-directory": "d", "--file": "f", "--env-file": "f", "--vars-file": "f"}
_WITH_VALUE = "|".join(name for name, value in GLOBALS.items() if value)


@dataclass(frozen=True, slots=True)
class _Option:
    """`choices` None: any value, (): none follows."""

    names: tuple[str, ...]
    choices: tuple[str, ...] | None

    @property
    def longest(self) -> str:
        return max(self.names, key=len)


@dataclass(frozen=True, slots=True)
class _Verb:
    """`path`: `up`, `image rm`. `words`: what may follow and is known now; `asked`: a key of _ASKED."""

    path: str
    text: str
    options: tuple[_Option, ...]
    words: tuple[str, ...] = ()
    asked: str | None = None


def script(shell: Shell, context: Context) -> str:
    root = context.command
    assert isinstance(root, TyperGroup)
    verbs = tuple(_verbs(root, context))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](_options(root, context), verbs)


def _verbs(group: TyperGroup, context: Context, prefix: str = "") -> Iterator[_Verb]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words, asked = _positionals(command, context, prefix + name)
        yield _Verb(prefix + name, command.get_short_help_str(70), _options(command, context), words, asked)
        if isinstance(command, TyperGroup):
            yield from _verbs(command, context, f"{name} ")


def _options(command: Command, context: Context) -> tuple[_Option, ...]:
    return tuple(
        _Option(tuple(p.opts), () if getattr(p, "is_flag", False) else _choices(p))
        for p in command.get_params(context) if p.param_type_name == "option"
    )  # fmt: skip


def _choices(parameter: Parameter) -> tuple[str, ...] | None:
    found = getattr(parameter.type, "choices", None)
    return tuple(str(choice) for choice in found) if found else None


def _positionals(command: Command, context: Context, path: str) -> tuple[tuple[str, ...], str | None]:
    if isinstance(command, TyperGroup):
        return tuple(command.list_commands(context)), None
    for parameter in command.get_params(context):
        if parameter.param_type_name == "argument":
            metavar = str(parameter.metavar)
            asked = "service" if "SERVICE" in metavar else "image" if "IMAGE" in metavar else None
            return _choices(parameter) or (), "key" if path == "build" else asked
    return (), None


def _bash(options: tuple[_Option, ...], verbs: tuple[_Verb, ...]) -> str:
    cases = "\n".join(f'    "{v.path}") words="{_line(v.options, v.words)}"; ask={v.asked or ""} ;;' for v in verbs)
    takers = [(v.path, o) for v in (_Verb("", "", options), *verbs) for o in v.options if o.choices != ()]
    values = "\n".join(_bash_values(option, verb) for verb, option in takers)
    top = _line(options, tuple(v.path for v in verbs if " " not in v.path))
    return f"""# stackup completion for bash: eval "$(stackup completion bash)"
_stackup() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local verb="" words="" ask="" option="" value="" at=1 globals=()
  while [ $at -lt $COMP_CWORD ]; do
    case "${{COMP_WORDS[at]}}" in
      {_WITH_VALUE})
        option="${{COMP_WORDS[at]}}"
        [ "${{COMP_WORDS[at+1]}}" = = ] && at=$((at+1))  # bash takes --root=DIR and KEY=VALUE for three words
        at=$((at+1)); value="${{COMP_WORDS[at]}}"
        if [ "${{COMP_WORDS[at+1]}}" = = ]; then value="$value=${{COMP_WORDS[at+2]}}"; at=$((at+2)); fi
        [ $at -lt $COMP_CWORD ] && globals+=("$option" "$value") ;;
      -*) ;;
      *) verb="${{COMP_WORDS[at]}}"; break ;;
    esac
    at=$((at+1))
  done
  if [ "$verb" = image ] && [ $((at+1)) -lt $COMP_CWORD ]; then verb="image ${{COMP_WORDS[at+1]}}"; fi
  COMPREPLY=()
  case "$verb:$before" in
{values}
  esac
  case "$verb" in
    "") words="{top}" ;;
{cases}
  esac
  case "$ask" in
    service) words="$words $(stackup "${{globals[@]}}" {_ASKED["service"]} 2>/dev/null)" ;;
    key) words="$words $(stackup "${{globals[@]}}" {_ASKED["key"]} 2>/dev/null)" ;;
    image) words="$words $(stackup "${{globals[@]}}" {_ASKED["image"]} 2>/dev/null | sed '1d; s/ .*//')" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _stackup stackup
"""


def _bash_values(option: _Option, verb: str) -> str:
    """What follows an option that takes a value: its choices, a folder, a file, or nothing that we know."""
    offer = ""
    if option.choices:
        offer = f'COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$current")); '
    elif not verb and option.longest in _ASKED:
        asked = f'$(stackup "${{globals[@]}}" {_ASKED[option.longest]} 2>/dev/null)'
        offer = f'COMPREPLY=($(compgen -W "{asked}" -- "$current")); '
    elif not verb and (kind := _PATHS.get(option.longest)):
        offer = f'COMPREPLY=($(compgen -{kind} -- "$current")); '
    patterns = "|".join(f'"{verb}:{name}"' for name in option.names)
    return f"    {patterns}) {offer}return ;;"


def _line(options: tuple[_Option, ...], words: tuple[str, ...]) -> str:
    return " ".join((*words, *(o.longest for o in options)))


def _zsh(options: tuple[_Option, ...], verbs: tuple[_Verb, ...]) -> str:
    # zsh runs bash's own completion functions; one script is enough to keep right.
    head = (
        '# stackup completion for zsh: eval "$(stackup completion zsh)"\nautoload -U +X bashcompinit && bashcompinit\n'
    )
    return head + _bash(options, verbs).partition("\n")[2]


_FISH_HEAD = """# stackup completion for fish: stackup completion fish | source
function __stackup_words --description 'the globals, then the verb, a line each'
  set -l words (commandline -opc)
  set -e words[1]
  while set -q words[1]
    switch $words[1]
      case {with_value}
        echo global; echo $words[1]; echo global; echo $words[2]
        set -e words[1]
      case '-*'
      case '*'
        echo verb; echo $words[1]
        test "$words[1]" = image; and set -q words[2]; and echo verb; and echo $words[2]
        return
    end
    set -e words[1]
  end
end
function __stackup_pick --description 'of these lines those that follow $argv'
  set -l lines (__stackup_words)
  while set -q lines[1]
    test $lines[1] = $argv; and echo $lines[2]
    set -e lines[1..2]
  end
end
function __stackup_at --description 'whether the verb is $argv; none: before it'
  set -l verb (__stackup_pick verb)
  test "$verb" = "$argv"
end
function __stackup_ask
  stackup (__stackup_pick global) $argv 2>/dev/null
end
complete -c stackup -f
"""
_FISH_ASKED = {
    "service": "'(__stackup_ask config --services)'",
    "key": "'(__stackup_ask config --images)'",
    "image": "\"(__stackup_ask image ls | sed '1d; s/ .*//')\"",
}


def _fish(options: tuple[_Option, ...], verbs: tuple[_Verb, ...]) -> str:
    lines = [_FISH_HEAD.format(with_value=_WITH_VALUE.replace("|", " ")).rstrip("\n")]
    lines += [f"complete -c stackup -n '__stackup_at' {_fish_option(o)}" for o in options]
    for verb in verbs:
        above, _, name = verb.path.rpartition(" ")
        lines.append(f"complete -c stackup -n '__stackup_at {above}' -a {name} -d {_quote(verb.text)}")
        here = f"complete -c stackup -n '__stackup_at {verb.path}'"
        nested = any(v.path.startswith(verb.path + " ") for v in verbs)
        lines += [f"{here} -a '{' '.join(verb.words)}'"] if verb.words and not nested else []
        lines += [f"{here} -a {_FISH_ASKED[verb.asked]}"] if verb.asked else []
        lines += [f"{here} {_fish_option(o)}" for o in verb.options]
    return "\n".join(lines) + "\n"


def _fish_option(option: _Option) -> str:
    names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
    if option.choices == ():
        return names
    if option.choices:
        return f"{names} -x -a '{' '.join(option.choices)}'"
    if option.longest in _ASKED:
        return f"{names} -x -a '(__stackup_ask {_ASKED[option.longest]})'"
    if _PATHS.get(option.longest) == "d":
        return f"{names} -x -a '(__fish_complete_directories)'"
    return f"{names} -rF" if option.longest in _PATHS else f"{names} -x"


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
