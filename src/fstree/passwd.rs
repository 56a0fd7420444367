//! Users and groups by an image's own `/etc/passwd` and `/etc/group`.
//!
//! Two lookups with different rules: the user that a process runs as must be found ([`resolve_user`]), while the owner
//! of a copied file falls back to root ([`resolve_owner`]). Both take the files' texts; somebody else reads them. The
//! machine's own users play no part.

/// The largest number that a user or group may have where a process runs as one.
const MAX_ID: u32 = i32::MAX as u32;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
    /// All groups, `gid` first.
    pub groups: Vec<u32>,
    /// The user's home folder by `/etc/passwd`; `/` if it names none.
    pub home: String,
}

/// A user or group that cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name that the image does not know.
    #[error("unable to find {kind} {name}: no matching entries in the image's {file}")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// As written.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// A number that no user can have.
    #[error("{0}: uids and gids must be in range 0-2147483647")]
    Range(String),
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// The lines of a passwd text that name a user (passwd(5)); others are passed over.
fn users(text: &str) -> impl Iterator<Item = User<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

/// The lines of a group text that name a group (group(5)); others are passed over.
fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// Whether it is written as a number, and which.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) if id <= MAX_ID => Ok(Some(id)),
        _ => Err(UserError::Range(text.into())),
    }
}

/// Who `USER` means: `user[:group]`, each by name or number. Empty is root. The texts are none where the image lacks
/// the file.
///
/// A number need not be known; its group is then 0. Further groups are those that list the user, but only if no group
/// is written.
///
/// # Errors
/// If a name is unknown, or a number too large.
pub fn resolve_user(user: &str, passwd: Option<&str>, group: Option<&str>) -> Result<ResolvedUser, UserError> {
    let (passwd, group) = (passwd.unwrap_or_default(), group.unwrap_or_default());
    let (user, wanted_group) = user.split_once(':').unwrap_or((user, ""));
    let user = if user.is_empty() { "0" } else { user };
    let id = number(user)?;
    let found = users(passwd).find(|entry| id.map_or(entry.name == user, |id| entry.uid == id));
    let (uid, mut gid) = match (&found, id) {
        (Some(found), _) => (found.uid, found.gid),
        (None, Some(id)) => (id, 0),
        (None, None) => return Err(UserError::Unknown { kind: "user", name: user.into(), file: "/etc/passwd" }),
    };
    let mut all = Vec::new();
    if wanted_group.is_empty() {
        let name = found.map(|found| found.name);
        all.extend(groups(group).filter(|g| name.is_some_and(|n| g.members.split(',').any(|m| m == n))).map(|g| g.gid));
    } else {
        let id = number(wanted_group)?;
        let found = groups(group).find(|entry| id.map_or(entry.name == wanted_group, |id| entry.gid == id));
        gid = found.map(|found| found.gid).or(id).ok_or_else(|| UserError::Unknown {
            kind: "group",
            name: wanted_group.into(),
            file: "/etc/group",
        })?;
    }
    for id in [uid, gid].iter().chain(&all) {
        if *id > MAX_ID {
            return Err(UserError::Range(id.to_string()));
        }
    }
    all.retain(|&other| other != gid);
    all.insert(0, gid);
    // By number: that is what the process will have, whatever name was written.
    let home = users(passwd).find(|entry| entry.uid == uid).map(|entry| entry.home).filter(|home| !home.is_empty());
    Ok(ResolvedUser { uid, gid, groups: all, home: home.unwrap_or("/").into() })
}

/// The owner that `--chown` means: user and group, each by name or number; the group may be left out.
///
/// `root` is 0 whatever the image says. A name that the image does not know, or an image without the files, means 0.
/// Without a group, or with one that the image does not know, it is the user's own by `/etc/passwd` for a name, and the
/// same number for a number.
pub fn resolve_owner(user: &str, group: Option<&str>, passwd: Option<&str>, group_file: Option<&str>) -> (u32, u32) {
    let (uid, own_gid) = match user.parse() {
        Ok(id) => (id, id),
        Err(_) if user == "root" => (0, 0),
        Err(_) => users(passwd.unwrap_or_default())
            .find(|entry| entry.name == user)
            .map_or((0, 0), |entry| (entry.uid, entry.gid)),
    };
    let gid = group.map_or(own_gid, |group| match group.parse() {
        Ok(id) => id,
        Err(_) if group == "root" => 0,
        Err(_) => groups(group_file.unwrap_or_default()).find(|g| g.name == group).map_or(own_gid, |g| g.gid),
    });
    (uid, gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        www-data:x:33:33:www-data:/var/www:/bin/false\n\
        broken\n+::::::\n\
        app:x:700:710::/home/app:/bin/sh\n\
        homeless:x:5:5\n";
    const GROUP: &str = "root:x:0:\ndaemon:x:1:\napp:x:710:\nextra:x:800:app\nmore:x:801:other,app\nlone:x:802:\n";

    #[test]
    fn finds_who_runs() {
        let check = |user: &str, uid: u32, gid: u32, groups: &[u32], home: &str| {
            let expected = ResolvedUser { uid, gid, groups: groups.into(), home: home.into() };
            assert_eq!(resolve_user(user, Some(PASSWD), Some(GROUP)), Ok(expected), "{user}");
        };
        check("", 0, 0, &[0], "/root");
        check("root", 0, 0, &[0], "/root");
        check("app", 700, 710, &[710, 800, 801], "/home/app");
        check("700", 700, 710, &[710, 800, 801], "/home/app");
        check("app:lone", 700, 802, &[802], "/home/app");
        check("700:710", 700, 710, &[710], "/home/app");
        check("root:710", 0, 710, &[710], "/root");
        check("33:1", 33, 1, &[1], "/var/www");
        check("4000", 4000, 0, &[0], "/");
        check("4000:5000", 4000, 5000, &[5000], "/");
        check(":daemon", 0, 1, &[1], "/root");
        check("homeless", 5, 5, &[5], "/");
    }

    #[test]
    fn says_who_cannot_be_found() {
        let check = |user: &str, expected: &str| {
            assert_eq!(resolve_user(user, None, None).unwrap_err().to_string(), expected);
        };
        check("app", "unable to find user app: no matching entries in the image's /etc/passwd");
        check("0:staff", "unable to find group staff: no matching entries in the image's /etc/group");
        check("2147483648", "2147483648: uids and gids must be in range 0-2147483647");
        check("99999999999", "99999999999: uids and gids must be in range 0-2147483647");
        assert_eq!(resolve_user("77:88", None, None).map(|user| user.groups), Ok(vec![88]));
    }

    #[test]
    fn finds_owners_or_falls_back_to_root() {
        let check = |user: &str, group: Option<&str>, expected: (u32, u32)| {
            assert_eq!(resolve_owner(user, group, Some(PASSWD), Some(GROUP)), expected, "{user} {group:?}");
        };
        check("app", None, (700, 710));
        check("app", Some("daemon"), (700, 1));
        check("1001", None, (1001, 1001));
        check("1001", Some("1002"), (1001, 1002));
        check("2000000000", Some("2000000001"), (2_000_000_000, 2_000_000_001));
        check("nobody-knows", None, (0, 0));
        check("nobody-knows", Some("app"), (0, 710));
        check("3", Some("staff"), (3, 3));
        assert_eq!(resolve_owner("root", Some("root"), None, None), (0, 0));
    }
}
