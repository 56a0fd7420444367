//! Keys and policies as files: where they are, and the password of a key.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use console::Term;

use crate::cli::{Session, config};
use crate::frontend::diagnostic::Diagnostic;
use crate::ops::Error;
use crate::ops::error::Diagnostics;
use crate::trust::{self, KeyError, KeyFile, Mistake, Policy, PolicyFile, PrivateKey, PublicKey};

/// The variables with the password of a key: ours, and cosign's, for whoever has that.
const PASSWORDS: [&str; 2] = ["IMGBUILD_KEY_PASSWORD", "COSIGN_PASSWORD"];
/// The most that a key or a policy may have, in bytes.
const MOST: u64 = 1 << 20;

/// What holds for every build of this user on this machine.
pub(in crate::cli) fn policies(session: &Session) -> Result<Vec<Policy>, Error> {
    let mut found = Vec::new();
    for path in config::files_with_policies(session) {
        // A file that is not there, or that is in a folder of somebody else, demands nothing.
        if path.symlink_metadata().is_err() {
            continue;
        }
        let text = read(&path, "configuration")?;
        if let Some(policy) = trust::read_file(&text, false).map_err(|list| told(&path, text, list))? {
            found.push(load(policy, &path.display().to_string(), folder_of(&path))?);
        }
    }
    Ok(found)
}

/// What the files of `--policy` say.
pub(super) fn policy_files(paths: &[PathBuf]) -> Result<Vec<Policy>, Error> {
    let one = |path: &PathBuf| {
        let text = read(path, "policy")?;
        let policy = trust::read_file(&text, true).map_err(|list| told(path, text, list))?;
        load(policy.unwrap_or_default(), &path.display().to_string(), folder_of(path))
    };
    paths.iter().map(one).collect()
}

/// A policy with the keys that it names, whose paths start at `folder`.
pub(super) fn load(policy: PolicyFile, name: &str, folder: &Path) -> Result<Policy, Error> {
    policy.load(name.to_owned(), |key| {
        public_key(&folder.join(key)).map_err(|error| error.help(format!("{name} names it")))
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn told(path: &Path, text: String, list: Vec<Mistake>) -> Error {
    let diagnostic = |Mistake { span, message, help }: Mistake| {
        let error = Diagnostic::error(span, message);
        help.into_iter().fold(error, Diagnostic::help)
    };
    Diagnostics::new(path.display().to_string(), text, list.into_iter().map(diagnostic).collect()).into()
}

/// Reads a public key.
pub(in crate::cli) fn public_key(path: &Path) -> Result<KeyFile, Error> {
    let name = path.display().to_string();
    let text = read(path, "public key")?;
    let key = PublicKey::parse(&text).map_err(|error| {
        let failed = Error::build(format!("{name} cannot be used: {error}"));
        match error {
            KeyError::OtherHalf(..) => failed.help("give the file that ends with .pub"),
            _ => failed,
        }
    })?;
    Ok(KeyFile { name, key })
}

/// Reads the keys that sign, and asks for passwords where they need one.
pub(in crate::cli) fn private_keys(paths: &[PathBuf], session: &Session) -> Result<Vec<PrivateKey>, Error> {
    paths.iter().map(|path| private_key(path, session)).collect()
}

fn private_key(path: &Path, session: &Session) -> Result<PrivateKey, Error> {
    let name = path.display().to_string();
    let text = read(path, "key")?;
    let password = match PrivateKey::is_sealed(&text) {
        true => Some(password(session, &format!("Password for {name}: "))?),
        false => None,
    };
    PrivateKey::parse(&text, password.as_deref()).map_err(|error| {
        let failed = Error::build(format!("{name} cannot be used: {error}"));
        match error {
            KeyError::OtherHalf(..) => failed.help("give the file that ends with .key, not the one with .pub"),
            KeyError::Kind(_) => failed.help("make one with `imgbuild key generate`"),
            _ => failed,
        }
    })
}

/// The password of a key: from the environment, else from whoever sits there.
pub(in crate::cli) fn password(session: &Session, question: &str) -> Result<Vec<u8>, Error> {
    // An empty password is one.
    if let Some(password) = PASSWORDS.iter().find_map(|name| session.env.variable(name)) {
        return Ok(password.into_encoded_bytes());
    }
    if !session.env.stdin_is_terminal() {
        let [ours, _] = PASSWORDS;
        return Err(Error::Usage(format!("the key is under a password, and there is no terminal to ask: set {ours}")));
    }
    session.complain(question);
    let line = Term::stderr().read_secure_line();
    line.map(String::into_bytes).map_err(|error| Error::environment("cannot read from the terminal").caused_by(error))
}

fn read(path: &Path, what: &str) -> Result<String, Error> {
    let failed = |error| Error::build(format!("cannot read the {what} {}", path.display())).caused_by(error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::env::Env;

    #[test]
    fn keys_come_with_their_password() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_random(&[7; 32]).unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let sealed = put("a.key", &key.to_sealed(b"word", &[1; PrivateKey::SEAL_BYTES]).unwrap());
        let public = put("a.pub", key.public().to_pem());
        let session = |password: &'static str| Session { env: Env::fake([("COSIGN_PASSWORD", password)]), root: None };
        assert_eq!(private_key(&sealed, &session("word")).unwrap().public(), key.public());
        assert_eq!(public_key(&public).unwrap().key, key.public());
        let check = |result: Result<(), Error>, expected: &str| {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(private_key(&sealed, &session("ward")).map(drop), "a.key cannot be used: the password does not open it");
        check(private_key(&public, &session("")).map(drop), "a private one is needed");
        check(public_key(&sealed).map(drop), "a public one is needed");
        check(public_key(&folder.path().join("none")).map(drop), "cannot read the public key");
        let nobody = Session { env: Env::fake([]), root: None };
        check(private_key(&sealed, &nobody).map(drop), "set IMGBUILD_KEY_PASSWORD");
    }

    #[test]
    fn every_policy_holds() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_random(&[7; 32]).unwrap();
        std::fs::write(folder.path().join("a.pub"), key.public().to_pem()).unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, "deny = ['x/*']\n[require-signature]\n'h.x/**' = ['a.pub']\n").unwrap();
        let [policy] = &policy_files(std::slice::from_ref(&path)).unwrap()[..] else { panic!("one file") };
        assert_eq!(policy.signatures[0].keys[0].key, key.public());
        std::fs::write(&path, "require-digest = 1\n[require-signature]\n'h.x/**' = ['b.pub']\n").unwrap();
        assert!(matches!(policy_files(std::slice::from_ref(&path)), Err(Error::Diagnostics(_))));
        std::fs::write(&path, "[require-signature]\n'h.x/**' = ['b.pub']\n").unwrap();
        let message = policy_files(&[path]).unwrap_err().to_string();
        assert!(message.contains("b.pub"), "{message}");
    }
}
