//! Names that promise a secret.

/// Whether a variable of this name probably holds a secret: `API_KEY`, `database_password`, but not `PUBLIC_KEY`.
pub fn names_a_secret(name: &str) -> bool {
    const SECRET: [&str; 10] =
        ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_secrets() {
        for name in ["API_KEY", "database_PASSWORD", "TOKEN", "AUTH", "x_secret_y"] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["PUBLIC_KEY", "KEY_FILE", "TOKEN_VERSION", "MONKEY", "keyboard", ""] {
            assert!(!names_a_secret(name), "{name}");
        }
    }
}
