//! `imgbuild completions` and `man`: what shells and `man` want to know, made of the same table as `--help`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Session;
use crate::cli::args::Cli;
use crate::ops::Error;

/// Names of images, containers and builds for bash, which asks the program itself: nothing is kept that could be stale.
const BASH_NAMES: &str = r#"
_imgbuild_names() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} names=
    # A colon is a word of its own for bash, and what stands before it is there already.
    if [[ $cur == : ]]; then cur=$before:; elif [[ $before == : ]]; then cur=${COMP_WORDS[COMP_CWORD-2]}:$cur; fi
    _imgbuild "$@"
    case $cur in -*) return ;; esac
    case ${COMP_WORDS[1]} in
        run|rmi|tag|history|save|image|mount|inspect|export|explore|diff)
            names=$(imgbuild images --format json 2>/dev/null |
                sed -n 's/^{"Repository":"\([^"]*\)","Tag":"\([^"]*\)".*/\1:\2/p') ;;
        log|report)
            names=$(imgbuild builds -q 2>/dev/null) ;;
    esac
    case ${COMP_WORDS[1]} in
        rm|diff|commit|cp|mount|umount|inspect|export)
            names="$names $(imgbuild ps -a --format json 2>/dev/null | sed -n 's/.*"Names":"\([^"]*\)".*/\1/p')" ;;
    esac
    local prefix=
    if [[ $cur == *:* ]]; then prefix=${cur%:*}:; fi
    local found
    while read -r found; do COMPREPLY+=("${found#"$prefix"}"); done < <(compgen -W "$names" -- "$cur")
}
complete -F _imgbuild_names -o nosort -o bashdefault -o default imgbuild
"#;

/// Write a shell's completion script
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild completions bash > /etc/bash_completion.d/imgbuild
  imgbuild completions zsh > /usr/local/share/zsh/site-functions/_imgbuild
  imgbuild completions fish > ~/.config/fish/completions/imgbuild.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the shell's script.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "imgbuild", &mut script);
    if args.shell == Shell::Bash {
        script.extend_from_slice(BASH_NAMES.as_bytes());
    }
    session.print(script)
}

/// Write a manual page
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild man | man -l -
  imgbuild man build > /usr/local/share/man/man1/imgbuild-build.1")]
pub struct ManArgs {
    /// The command [default: the page about all of them]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// Prints a manual page.
pub fn man(args: &ManArgs, session: &Session) -> Result<(), Error> {
    let mut all = Cli::command();
    all.build();
    let page = match &args.command {
        None => all,
        Some(name) => {
            let found = all
                .get_subcommands()
                .find(|command| command.get_name() == name || command.get_all_aliases().any(|alias| alias == name));
            let found = found
                .ok_or_else(|| Error::Usage(format!("there is no command {name:?}; `imgbuild --help` lists them")))?;
            let title = format!("imgbuild-{}", found.get_name());
            found.clone().bin_name(title.replacen('-', " ", 1)).display_name(title)
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| Error::build("the page cannot be written").caused_by(error))?;
    session.print(text)
}
