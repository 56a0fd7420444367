//! A token server as Docker's registries want one (distribution, "Token Authentication"): JSON web tokens, signed with RSA.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{run, sh};
use crate::web::{Reply, Request, Web};

/// The user that may do everything; others may read.
pub const USER: (&str, &str) = ("writer", "wr:iter");
/// The token by which that user is known without a password.
pub const IDENTITY: &str = "identity-of-writer";

/// Makes a key and a certificate for it.
pub fn certificate(folder: &Path, name: &str) {
    let key = folder.join(format!("{name}.key"));
    let cert = folder.join(format!("{name}.crt"));
    let subject = format!("/CN={name}");
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject])
        .args(["-addext", names, "-keyout", key.to_str().unwrap(), "-out", cert.to_str().unwrap()]));
}

/// The same, signed by an authority whose certificate is `authority.crt`.
pub fn issued(folder: &Path, name: &str) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    if !folder.join("authority.crt").exists() {
        certificate(folder, "authority");
    }
    let names = crate::support::put(folder, "names", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    let (key, request, cert) =
        (path(&format!("{name}.key")), path(&format!("{name}.csr")), path(&format!("{name}.crt")));
    let subject = format!("/CN={name}");
    sh(&["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request]);
    let signing = ["-CA", &path("authority.crt"), "-CAkey", &path("authority.key"), "-CAcreateserial", "-days", "2"];
    run(Command::new("openssl")
        .args(["x509", "-req", "-in", &request, "-out", &cert, "-extfile"])
        .arg(names)
        .args(signing));
}

/// A token server whose certificate is `token.crt` in this folder.
pub fn serve(folder: &Path) -> Web {
    let folder = folder.to_owned();
    Web::serve(move |request, _| {
        let fields = fields(request);
        let all = |name: &str| -> Vec<String> {
            fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
        };
        let known = match request.method.as_str() {
            "POST" => all("refresh_token") == [IDENTITY] && all("grant_type") == ["refresh_token"],
            _ => {
                request.header("authorization")
                    == format!("Basic {}", base64(format!("{}:{}", USER.0, USER.1).as_bytes()))
            }
        };
        if !known && (request.method == "POST" || !request.header("authorization").is_empty()) {
            return Reply::file(r#"{"details":"incorrect username or password"}"#).with_status(401);
        }
        let access: Vec<Value> = all("scope")
            .iter()
            .flat_map(|scope| scope.split(' '))
            .filter_map(|scope| {
                let (rest, actions) = scope.rsplit_once(':')?;
                let (kind, name) = rest.split_once(':')?;
                let may = |action: &&str| known || *action == "pull";
                let actions: Vec<&str> = actions.split(',').filter(may).collect();
                Some(json!({ "type": kind, "name": name, "actions": actions }))
            })
            .collect();
        let token = token(&folder, &access);
        let name = if request.method == "POST" { "access_token" } else { "token" };
        Reply::file(json!({ name: token, "expires_in": 300 }).to_string())
    })
}

/// What a registry is configured with to trust it.
pub fn configuration(folder: &Path, server: &Web) -> String {
    let cert = folder.join("token.crt");
    let realm = server.url("/token");
    format!("auth: {{token: {{realm: \"{realm}\", service: test, issuer: tests, rootcertbundle: {}}}}}", cert.display())
}

fn token(folder: &Path, access: &[Value]) -> String {
    let der = sh(&["openssl", "x509", "-in", folder.join("token.crt").to_str().unwrap()]);
    let der: String = der.lines().filter(|line| !line.starts_with("-----")).collect();
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [der] });
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (begins, ends) = (now - 60, now + 300);
    let claims = json!({
        "iss": "tests", "sub": "", "aud": "test", "exp": ends, "nbf": begins, "iat": begins, "jti": "1", "access": access,
    });
    let signed = format!("{}.{}", url64(header.to_string().as_bytes()), url64(claims.to_string().as_bytes()));
    let file = tempfile::NamedTempFile::new_in(folder).unwrap();
    std::fs::write(file.path(), &signed).unwrap();
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-sign"]).arg(folder.join("token.key")).arg(file.path());
    format!("{signed}.{}", url64(&run(&mut command).stdout))
}

/// What a form or a query says.
fn fields(request: &Request) -> Vec<(String, String)> {
    let query = request.path.split_once('?').map_or("", |(_, query)| query).to_owned();
    let text = if request.method == "POST" { String::from_utf8_lossy(&request.body).into_owned() } else { query };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Base64 as web tokens have it.
fn url64(bytes: &[u8]) -> String {
    base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// Base64 with its padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) as usize & 63;
            out.push(if digit <= chunk.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    out
}
