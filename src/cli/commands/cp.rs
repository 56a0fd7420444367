//! `imgbuild cp`: files into containers and out of them.

use std::path::Path;

use super::with_layers;
use crate::cli::Session;
use crate::ops::Error;
use crate::ops::container::{Side, TransferOptions, copy_in, copy_out};

/// Copy files into a container or out of it
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild cp work:/etc/os-release .    a file out
  imgbuild cp config/. work:/etc/app/   what is in a folder in
  imgbuild cp work:/var/log - | tar t   as a tar")]
pub struct Args {
    /// What to copy: CONTAINER:PATH, a path here, or - for a tar on stdin
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Where to: CONTAINER:PATH, a path here, or - for a tar on stdout
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Keep owners
    #[arg(short, long)]
    pub archive: bool,
    /// If SOURCE is a symbolic link, copy what it leads to
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Accepted for docker's sake: nothing is shown anyway
    #[arg(short, long, hide = true)]
    pub quiet: bool,
}

/// One end of a copy, as it was written.
#[derive(Debug, PartialEq, Eq)]
enum End<'a> {
    Container(&'a str, &'a str),
    Here(&'a str),
    Tar,
}

fn end(text: &str) -> End<'_> {
    match text.split_once(':') {
        _ if text == "-" => End::Tar,
        // A path here may have a colon in it: after a slash, or a dot at its start.
        Some((name, path)) if !name.is_empty() && !name.contains('/') && !name.starts_with('.') => {
            End::Container(name, path)
        }
        _ => End::Here(text),
    }
}

/// Copies.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let options = TransferOptions { archive: args.archive, follow: args.follow_link };
    match (end(&args.source), end(&args.target)) {
        (End::Container(name, path), End::Here(to)) => {
            let (path, to) = (absolute(path)?, Side::Path(Path::new(to)));
            with_layers(session, |layers| copy_out(layers, name, path, &to, options, &mut std::io::sink()))
        }
        (End::Container(..), End::Tar) if session.env.stdout_is_terminal() => {
            Err(Error::Usage("a tar is not written to a terminal: redirect stdout".into()))
        }
        (End::Container(name, path), End::Tar) => {
            let path = absolute(path)?;
            with_layers(session, |layers| session.stream(|out| copy_out(layers, name, path, &Side::Tar, options, out)))
        }
        (End::Here(from), End::Container(name, path)) => {
            let (from, path) = (Side::Path(Path::new(from)), absolute(path)?);
            with_layers(session, |layers| copy_in(layers, &from, name, path, options, None))
        }
        (End::Tar, End::Container(..)) if session.env.stdin_is_terminal() => {
            Err(Error::Usage("a tar is not read from a terminal: redirect stdin".into()))
        }
        (End::Tar, End::Container(name, path)) => {
            let (path, stdin) = (absolute(path)?, Box::new(std::io::stdin()));
            with_layers(session, |layers| copy_in(layers, &Side::Tar, name, path, options, Some(stdin)))
        }
        (End::Container(..), End::Container(..)) => {
            Err(Error::Usage("files are not copied between containers: copy them here first".into()))
        }
        _ => Err(Error::Usage("one end must be CONTAINER:PATH".into())),
    }
}

/// A path in a container, which counts from its root.
fn absolute(path: &str) -> Result<&str, Error> {
    match path.is_empty() {
        true => Err(Error::Usage("a path is missing behind the colon".into())),
        false => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_containers_from_paths() {
        let check = |text, expected| assert_eq!(end(text), expected, "{text}");
        check("-", End::Tar);
        check("box:/a", End::Container("box", "/a"));
        check("box:", End::Container("box", ""));
        check("./a:b", End::Here("./a:b"));
        check("/a:b", End::Here("/a:b"));
        check("dir/a:b", End::Here("dir/a:b"));
        check("a", End::Here("a"));
    }
}
