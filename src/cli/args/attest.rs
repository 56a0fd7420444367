//! What is to be said about an image: `--attest`, and its two short forms.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::csv;
use crate::attest::Detail;

/// What is said about the image, beside it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Image")]
pub struct AttestArgs {
    /// Put a statement beside the image: type=sbom, or type=provenance,mode=min|max
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub attest: Vec<Attest>,
    /// Say what packages are in the image: the same as --attest type=sbom
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", value_parser = Attest::sbom)]
    pub sbom: Option<Attest>,
    /// Say how the image was made: true, false, mode=min or mode=max; the same as --attest type=provenance
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL|mode=MODE")]
    #[arg(value_parser = Attest::provenance)]
    pub provenance: Option<Attest>,
    /// Sign the image, by each of its names, with the key in this file
    #[arg(long, value_name = "KEY")]
    pub sign: Vec<PathBuf>,
}

impl AttestArgs {
    /// All that is asked for and asked away; the last word counts.
    pub fn all(&self) -> impl Iterator<Item = Attest> {
        self.attest.iter().chain(&self.sbom).chain(&self.provenance).copied()
    }
}

/// One kind of statement, on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attest {
    /// What packages are in it.
    Sbom(bool),
    /// How it was made, if that is to be said.
    Provenance(Option<Detail>),
}

impl Attest {
    /// `--sbom`.
    pub fn sbom(text: &str) -> Result<Self, String> {
        Self::short("sbom", text)
    }

    /// `--provenance`.
    pub fn provenance(text: &str) -> Result<Self, String> {
        Self::short("provenance", text)
    }

    /// A truth value, or attributes.
    fn short(kind: &str, text: &str) -> Result<Self, String> {
        match csv::boolean(kind, text) {
            Ok(on) => format!("type={kind},disabled={}", !on).parse(),
            Err(_) if text.contains('=') => format!("type={kind},{text}").parse(),
            Err(_) => Err(format!("write --{kind}=true or --{kind}=false")),
        }
    }
}

impl FromStr for Attest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut kind, mut on, mut detail) = (String::new(), true, None);
        for (key, value) in csv::pairs(text)? {
            match (key.as_str(), value.as_str()) {
                ("type", _) => kind = value,
                ("disabled", _) => on = !csv::boolean("disabled", &value)?,
                ("mode", "min") => detail = Some(Detail::Min),
                ("mode", "max") => detail = Some(Detail::Max),
                ("mode", _) => return Err(format!("mode={value}: allowed are min and max")),
                // What there is anyway.
                ("version", "v1") | ("inline-only", _) => {}
                ("generator", _) => return Err("generator: imgbuild looks for packages itself".into()),
                _ => return Err(format!("{key}={value}: allowed are type, mode and disabled")),
            }
        }
        match (kind.as_str(), detail) {
            ("sbom", None) => Ok(Self::Sbom(on)),
            ("sbom", Some(_)) => Err("mode is for type=provenance".into()),
            ("provenance", detail) => Ok(Self::Provenance(on.then(|| detail.unwrap_or_default()))),
            ("", _) => Err("type= is missing: it is sbom or provenance".into()),
            (other, _) => Err(format!("type={other}: allowed are sbom and provenance")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_attestations() {
        let check = |read: Result<Attest, String>, expected: Attest| assert_eq!(read, Ok(expected));
        check("type=sbom".parse(), Attest::Sbom(true));
        check("type=sbom,disabled=true".parse(), Attest::Sbom(false));
        check(Attest::sbom("true"), Attest::Sbom(true));
        check(Attest::sbom("0"), Attest::Sbom(false));
        check(Attest::sbom("disabled=true"), Attest::Sbom(false));
        check("type=provenance,mode=max".parse(), Attest::Provenance(Some(Detail::Max)));
        check(Attest::provenance("true"), Attest::Provenance(Some(Detail::Min)));
        check(Attest::provenance("mode=max"), Attest::Provenance(Some(Detail::Max)));
        check(Attest::provenance("false"), Attest::Provenance(None));
    }

    #[test]
    fn says_what_is_allowed() {
        let check = |read: Result<Attest, String>, part: &str| {
            let message = read.unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        check("mode=max".parse(), "type= is missing");
        check("type=vex".parse(), "sbom and provenance");
        check("type=sbom,mode=max".parse(), "type=provenance");
        check("type=sbom,generator=x/y".parse(), "itself");
        check(Attest::provenance("mode=full"), "min and max");
        check(Attest::sbom("."), "--sbom=true");
    }
}
