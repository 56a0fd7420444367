//! Which extended attributes are part of an image, and which belong to the machine that a file happens to be on.

/// Whether the attribute of this full name belongs to the image.
///
/// Capabilities, POSIX ACLs and the `user.` namespace do. Labels of the host's security module, what the overlay file
/// system notes for itself (in `trusted.`, or in `user.` when it is mounted without privileges) and everything else do not.
pub fn belongs_to_image(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => name.len() > b"user.".len() && name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_belongs_to_an_image() {
        let check = |name: &str, expected| assert_eq!(belongs_to_image(name.as_bytes()), expected, "{name}");
        check("user.note", true);
        check("security.capability", true);
        check("system.posix_acl_default", true);
        check("user.", false);
        check("user.overlay.opaque", false);
        check("trusted.overlay.opaque", false);
        check("security.selinux", false);
    }
}
