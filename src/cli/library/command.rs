//! The words of a command as the record of a build may keep them.
//!
//! Values of secrets never are words: `--secret` names a file or a variable. But people pass passwords as build arguments, and
//! in URLs of proxies and repositories.

use crate::frontend::dockerfile::names_a_secret;

/// What stands for a value that is left out.
const MASK: &str = "***";

/// The words without values of variables whose names promise a secret, and without what is before an `@` in URLs.
pub(super) fn without_secrets(words: &[String]) -> Vec<String> {
    words.iter().map(|word| without_login(&without_value(word))).collect()
}

/// `NAME=VALUE`, also after `--build-arg=` or `TARGET.args.`, as `NAME=***`.
fn without_value(word: &str) -> String {
    for (at, _) in word.match_indices('=') {
        let before = &word[..at];
        let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        // `--secret=id=…` is a flag, and tells where a secret is.
        if names_a_secret(name) && !before[..at - name.len()].ends_with('-') {
            return format!("{before}={MASK}");
        }
    }
    word.to_owned()
}

fn without_login(word: &str) -> String {
    let mut clean = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let host = after[..end].rfind('@').map_or(0, |at| at + 1);
        clean.push_str(before);
        clean.push_str("://");
        if host > 0 {
            clean.push_str(MASK);
            clean.push('@');
        }
        rest = &after[host..];
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_secrets_out() {
        let check = |word: &str, expected: &str| assert_eq!(without_secrets(&[word.into()]), [expected]);
        check("VERSION=1", "VERSION=1");
        check("API_KEY=x=y", "API_KEY=***");
        check("--build-arg=NPM_TOKEN=x", "--build-arg=NPM_TOKEN=***");
        check("web.args.password=x", "web.args.password=***");
        check("--secret=id=token,env=API_TOKEN", "--secret=id=token,env=API_TOKEN");
        check("id=token,src=/a", "id=token,src=/a");
        check("http_proxy=http://u:p@proxy:3128", "http_proxy=http://***@proxy:3128");
        check("https://me:word@host/a@b.git#main", "https://***@host/a@b.git#main");
        check("https://host/a@b", "https://host/a@b");
        check("--no-cache", "--no-cache");
    }
}
