//! What is copied: files that nobody should have, and `ADD` where `COPY` would do.

use super::{Linter, context_sources, report};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Instruction, Kind};
use crate::frontend::dockerfile::lint::rule;

/// `SecretFileCopied` and `AddInsteadOfCopy`.
pub(super) fn check(instruction: &Instruction, linter: &mut Linter) {
    let sources = context_sources(instruction);
    // Who keeps it as a public key says what it is, whatever it is called.
    let dest = match &instruction.kind {
        Kind::Copy(copy) | Kind::Add(copy) => copy.dest.value.to_ascii_lowercase(),
        _ => String::new(),
    };
    let public = ["pub", "keyring", ".asc", "trusted.gpg"].iter().any(|word| dest.contains(word));
    for (path, span) in &sources {
        if !public && holds_a_secret(path) {
            let message = format!("`{path}` usually holds a secret");
            let finding = Diagnostic::advice(rule::SecretFileCopied, span.clone(), message).help(
                "name it in .dockerignore, and give it to the step that needs it: `RUN --mount=type=secret,id=…`",
            );
            report(linter, instruction, finding);
        }
    }
    let Kind::Add(add) = &instruction.kind else { return };
    let special = add.checksum.is_some() || add.keep_git_dir.is_some() || add.unpack.is_some();
    if special || !sources.iter().all(|(path, _)| is_plain_file(path)) {
        return;
    }
    let message = "`ADD` only copies here";
    let finding = Diagnostic::advice(rule::AddInsteadOfCopy, instruction.head.keyword_span(), message)
        .help("write `COPY`: `ADD` is for URLs, git repositories and archives");
    report(linter, instruction, finding);
}

/// Whether files of this name usually hold a secret.
fn holds_a_secret(path: &str) -> bool {
    const NAMES: [&str; 15] = [
        ".env",
        ".netrc",
        ".npmrc",
        ".pgpass",
        ".pypirc",
        ".git-credentials",
        ".htpasswd",
        "credentials.json",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "id_rsa",
        "kubeconfig",
        "secrets.yml",
        "secrets.yaml",
    ];
    const FOLDERS: [&str; 4] = [".ssh", ".aws", ".gnupg", ".kube"];
    let lower = path.trim_end_matches('/').to_ascii_lowercase();
    if lower.contains("://") {
        return false;
    }
    let mut parts: Vec<&str> = lower.split('/').collect();
    let Some(name) = parts.pop() else { return false };
    if NAMES.contains(&name) || FOLDERS.contains(&name) || parts.iter().any(|part| FOLDERS.contains(part)) {
        return true;
    }
    if let Some(kind) = name.strip_prefix(".env.") {
        return !matches!(kind, "example" | "sample" | "template" | "dist" | "defaults" | "test" | "ci");
    }
    let public =
        ["cert", "crt", "chain", "ca.", "ca-", "pub", "gpg", "dhparam", "ffdhe"].iter().any(|word| name.contains(word));
    [".pem", ".key", ".p12", ".pfx", ".keystore", ".jks"].iter().any(|end| name.ends_with(end)) && !public
}

/// Whether `ADD` would do no more with a source than `COPY`.
fn is_plain_file(path: &str) -> bool {
    const ARCHIVES: [&str; 12] =
        [".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".tbz", ".xz", ".txz", ".zst", ".tzst", ".lzma", ".z"];
    let lower = path.to_ascii_lowercase();
    let remote = lower.contains("://") || lower.starts_with("git@") || lower.contains(".git#");
    let archive = ARCHIVES.iter().any(|end| lower.trim_end_matches('*').ends_with(end)) || lower.contains(".tar");
    let unknown = lower.contains('$') || (lower.contains(['*', '?', '[']) && !lower.contains('.'));
    !remote && !archive && !unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_secret_files() {
        for path in [".env", "app/.env.production", "id_rsa", "tls/server.key", "key.pem", ".ssh/", ".aws/credentials"]
        {
            assert!(holds_a_secret(path), "{path}");
        }
        for path in [
            ".env.example",
            "ca.pem",
            "id_rsa.pub",
            "fullchain.pem",
            "src/env",
            "keys.go",
            "https://h/a.key",
            "repo.gpg.key",
            "ffdhe4096.pem",
        ] {
            assert!(!holds_a_secret(path), "{path}");
        }
    }
}
