//! Permission changes as `chmod(1)` and `COPY --chmod` write them: octal, or symbolic such as `u=rwX,go-w`.

/// A change of permissions, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModeChange {
    /// All bits are set to this.
    Octal(u32),
    /// Changes, applied in order.
    Symbolic(Vec<Clause>),
}

/// One operation of a symbolic change: `u+x` is one, `u+x-w` two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Whose bits: a mask of 0o700, 0o070 and 0o007.
    who: u32,
    operator: Operator,
    /// The bits for everybody, to be masked by `who`.
    bits: u32,
    /// `X`: execution, if it is a folder or somebody may execute it already.
    conditional: bool,
    /// `u`, `g` or `o` on the right: a copy of that class's bits, by its shift.
    copy: Vec<u32>,
    setid: bool,
    sticky: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

/// A text that is no change of permissions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// Starts with a digit, but is not octal or too large.
    #[error("{0:?} must be an octal number between 0 and 07777")]
    Octal(String),
    /// Neither octal nor symbolic.
    #[error("{0:?} is neither an octal number nor symbolic like u=rwX,go-w")]
    Symbolic(String),
}

impl ModeChange {
    /// Parses either form.
    pub fn parse(text: &str) -> Result<Self, ModeError> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return u32::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .map(Self::Octal)
                .ok_or_else(|| ModeError::Octal(text.to_owned()));
        }
        let error = || ModeError::Symbolic(text.to_owned());
        let mut clauses = Vec::new();
        for part in text.split(',') {
            parse_part(part, &mut clauses).ok_or_else(error)?;
        }
        Ok(Self::Symbolic(clauses))
    }

    /// The permissions that `mode` becomes.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_dir)),
        }
    }

    /// The permissions of a folder that is made on the way: an octal change's, without its special bits, or 0755.
    pub fn for_made_parent(&self) -> u32 {
        match self {
            Self::Octal(mode) => mode & 0o777,
            Self::Symbolic(_) => 0o755,
        }
    }
}

fn parse_part(part: &str, clauses: &mut Vec<Clause>) -> Option<()> {
    let mut chars = part.chars().peekable();
    let mut who = 0;
    while let Some(mask) = chars.peek().and_then(|c| match c {
        'u' => Some(0o700),
        'g' => Some(0o070),
        'o' => Some(0o007),
        'a' => Some(0o777),
        _ => None,
    }) {
        who |= mask;
        chars.next();
    }
    let who = if who == 0 { 0o777 } else { who };
    chars.peek()?;
    while let Some(operator) = chars.next() {
        let operator = match operator {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        let mut clause =
            Clause { who, operator, bits: 0, conditional: false, copy: Vec::new(), setid: false, sticky: false };
        while let Some(c) = chars.next_if(|c| !"+-=".contains(*c)) {
            match c {
                'r' => clause.bits |= 0o444,
                'w' => clause.bits |= 0o222,
                'x' => clause.bits |= 0o111,
                'X' => clause.conditional = true,
                's' => clause.setid = true,
                't' => clause.sticky = true,
                'u' => clause.copy.push(6),
                'g' => clause.copy.push(3),
                'o' => clause.copy.push(0),
                _ => return None,
            }
        }
        clauses.push(clause);
    }
    Some(())
}

impl Clause {
    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let mut bits = self.bits;
        if self.conditional && (is_dir || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        for shift in &self.copy {
            bits |= (mode >> shift & 7) * 0o111;
        }
        let mut bits = bits & self.who;
        if self.setid {
            bits |= if self.who & 0o700 != 0 { 0o4000 } else { 0 } | if self.who & 0o070 != 0 { 0o2000 } else { 0 };
        }
        // As the field's builders have it, only folders can be made sticky by letter.
        if self.sticky && is_dir && self.who & 0o007 != 0 {
            bits |= 0o1000;
        }
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => mode & !self.who | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_permissions() {
        let check = |text: &str, mode: u32, is_dir: bool, expected: u32| {
            let changed = ModeChange::parse(text).unwrap().apply(mode, is_dir);
            assert_eq!(format!("{changed:o}"), format!("{expected:o}"), "{text} of {mode:o}");
        };
        check("640", 0o777, false, 0o640);
        check("00644", 0o777, false, 0o644);
        check("u=rwX,go=rX", 0o750, false, 0o755);
        check("u=rwX,go=rX", 0o640, false, 0o644);
        check("u=rwX,go=rX", 0o700, true, 0o755);
        check("+x", 0o640, false, 0o751);
        check("go-rwx", 0o644, false, 0o600);
        check("g=u", 0o750, false, 0o770);
        check("a+rw,u+s", 0o640, false, 0o4666);
        check("o+t", 0o755, true, 0o1755);
        check("ug=r,o=", 0o755, false, 0o440);
        check("u+x-w", 0o600, false, 0o500);
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["888", "17777", "u~rw", "u", "rw", "u+rw,", "", "u=q"] {
            assert!(ModeChange::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parents_have_no_special_bits() {
        assert_eq!(ModeChange::parse("4755").unwrap().for_made_parent(), 0o755);
        assert_eq!(ModeChange::parse("600").unwrap().for_made_parent(), 0o600);
        assert_eq!(ModeChange::parse("u=r").unwrap().for_made_parent(), 0o755);
    }
}
