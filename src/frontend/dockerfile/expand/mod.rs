//! Variables and quotes: what `${name:-word}` and `"…"` in an instruction come to.
//!
//! The language is the Bourne shell's as far as it goes: `'…'` is literal, `"…"` expands, the escape character takes the
//! next one as it is, and `$name` has the modifiers of the shell's parameter expansion ([`pattern`] has those that match).
//! Commands are never substituted. Words in a modifier are always evaluated, even if their value is not used.
//!
//! Input is hostile: nesting and the size of the result are limited.

mod pattern;

use std::collections::BTreeSet;

use pattern::Pattern;

/// How deep `${a:-${b:-…}}` may go.
const MAX_DEPTH: usize = 100;
/// How many bytes one expansion may make. No kernel takes a longer argument.
const MAX_SIZE: usize = 4 << 20;

/// Where variables are looked up.
pub(super) trait Lookup {
    /// The value of a variable that is set.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
pub(super) struct Nothing;

impl Lookup for Nothing {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpandError {
    #[error("a {0} quote is not closed")]
    Quote(&'static str),
    #[error("a substitution is not closed: `}}` is missing")]
    Brace,
    #[error("the pattern of a substitution is not closed: `/` is missing")]
    Slash,
    #[error("a substitution without a name")]
    Name,
    #[error("`{0}` is no modifier of a substitution")]
    Modifier(String),
    #[error("`\\{0}` is no escape in a pattern: only `*`, `?`, `\\`, `/` and `}}` can be escaped")]
    Escape(String),
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("substitutions are nested more than {MAX_DEPTH} deep")]
    Depth,
    #[error("the result has more than {MAX_SIZE} bytes")]
    Size,
}

impl ExpandError {
    /// What can be done about it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Quote(_) => "close the quote, or write an escape character before it",
            Self::Brace | Self::Name => "write ${NAME}; for a literal dollar sign, put an escape character before it",
            Self::Slash => "write ${NAME/pattern/replacement}",
            Self::Modifier(_) => "the modifiers are :- - :+ + :? ? # ## % %% / and //",
            Self::Escape(_) => "to match a backslash, write two",
            Self::Required { .. } => "give the variable a value: ENV, ARG with a default, or --build-arg",
            Self::Depth | Self::Size => "compute such a value in a RUN step",
        }
    }
}

/// What an expansion came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text as one word.
    pub text: String,
    /// The text split at blanks that are not quoted.
    pub words: Vec<String>,
    /// Variables that were set.
    pub matched: BTreeSet<String>,
    /// Variables that were not.
    pub unmatched: BTreeSet<String>,
}

/// The rules of an expansion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expander {
    /// Takes the next character as it is.
    pub escape: char,
    /// Quotes stay in the result.
    pub raw_quotes: bool,
    /// Escape characters stay in the result.
    pub raw_escapes: bool,
    /// Quotes mean nothing.
    pub ignore_quotes: bool,
    /// Variables that are not set stay as they are.
    pub keep_unset: bool,
}

impl Expander {
    /// The rules for arguments of instructions.
    pub(super) fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, ignore_quotes: false, keep_unset: false }
    }

    /// Expands some text.
    pub(super) fn expand(self, text: &str, variables: &dyn Lookup) -> Result<Expanded, ExpandError> {
        let mut run = Run {
            rules: self,
            chars: text.chars().collect(),
            at: 0,
            depth: 0,
            raw_escapes: self.raw_escapes,
            word: String::new(),
            variables,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        };
        let (text, words) = run.until(None)?;
        Ok(Expanded { text, words, matched: run.matched, unmatched: run.unmatched })
    }
}

/// One expansion under way.
struct Run<'a> {
    rules: Expander,
    chars: Vec<char>,
    at: usize,
    depth: usize,
    raw_escapes: bool,
    /// The word under way. There is one for all levels, so the word of a modifier forgets what stood before it, as
    /// BuildKit has it: `EXPOSE 80${n:-80}` exposes 80.
    word: String,
    variables: &'a dyn Lookup,
    matched: BTreeSet<String>,
    unmatched: BTreeSet<String>,
}

impl Run<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Adds what is not quoted to the word under way, or ends it.
    fn unquoted(&mut self, c: char, words: &mut Vec<String>) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else {
            self.end_word(words);
        }
    }

    fn end_word(&mut self, words: &mut Vec<String>) {
        if !self.word.is_empty() {
            words.push(std::mem::take(&mut self.word));
        }
    }

    /// Expands up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), ExpandError> {
        let mut text = String::new();
        let mut words = Vec::new();
        self.word.clear();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.at += 1;
                self.end_word(&mut words);
                return Ok((text, words));
            }
            match c {
                '\'' | '"' if !self.rules.ignore_quotes => {
                    let part = if c == '"' { self.double_quotes()? } else { self.single_quotes()? };
                    text.push_str(&part);
                    self.word.push_str(&part);
                }
                '$' => {
                    let part = self.dollar()?;
                    text.push_str(&part);
                    part.chars().for_each(|c| self.unquoted(c, &mut words));
                }
                '<' => {
                    let part = self.less_than();
                    text.push_str(&part);
                    self.word.push_str(&part);
                }
                _ if c == self.rules.escape => {
                    self.at += 1;
                    let escaped = self.next();
                    for c in self.raw_escapes.then_some(c).into_iter().chain(escaped) {
                        text.push(c);
                        self.word.push(c);
                    }
                }
                _ => {
                    self.at += 1;
                    text.push(c);
                    self.unquoted(c, &mut words);
                }
            }
            if text.len() > MAX_SIZE {
                return Err(ExpandError::Size);
            }
        }
        match stop {
            None => {
                self.end_word(&mut words);
                Ok((text, words))
            }
            Some('/') => Err(ExpandError::Slash),
            Some(_) => Err(ExpandError::Brace),
        }
    }

    /// `<`, or `<<` with the blanks after it: what may open a heredoc is one word.
    fn less_than(&mut self) -> String {
        self.at += 1;
        if self.peek() != Some('<') {
            return "<".into();
        }
        self.at += 1;
        let mut text = String::from("<<");
        while let Some(blank @ ('\t' | '\r' | ' ')) = self.peek() {
            text.push(blank);
            self.at += 1;
        }
        text
    }

    fn single_quotes(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        self.quote_mark(&mut text);
        loop {
            match self.peek().ok_or(ExpandError::Quote("single"))? {
                '\'' => {
                    self.quote_mark(&mut text);
                    return Ok(text);
                }
                c => {
                    self.at += 1;
                    text.push(c);
                }
            }
        }
    }

    fn double_quotes(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        self.quote_mark(&mut text);
        loop {
            match self.peek().ok_or(ExpandError::Quote("double"))? {
                '"' => {
                    self.quote_mark(&mut text);
                    return Ok(text);
                }
                '$' => text.push_str(&self.dollar()?),
                c if c == self.rules.escape => {
                    self.at += 1;
                    match self.peek() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == c => {
                            if self.raw_escapes {
                                text.push(c);
                            }
                            text.push(next);
                            self.at += 1;
                        }
                        // Before anything else it is an ordinary character. (Where escapes are kept, BuildKit keeps it
                        // twice, which is seen only in patterns.)
                        Some(_) => {
                            if self.raw_escapes {
                                text.push(c);
                            }
                            text.push(c);
                        }
                    }
                }
                c => {
                    self.at += 1;
                    text.push(c);
                }
            }
            if text.len() > MAX_SIZE {
                return Err(ExpandError::Size);
            }
        }
    }

    fn quote_mark(&mut self, text: &mut String) {
        if let Some(mark) = self.next()
            && self.rules.raw_quotes
        {
            text.push(mark);
        }
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".into());
            }
            return Ok(match self.value(&name) {
                None if self.rules.keep_unset => format!("${name}"),
                value => value.unwrap_or_default(),
            });
        }
        self.at += 1;
        match self.peek() {
            None => return Err(ExpandError::Brace),
            Some('{' | '}' | ':') => return Err(ExpandError::Name),
            Some(_) => {}
        }
        if self.depth == MAX_DEPTH {
            return Err(ExpandError::Depth);
        }
        self.depth += 1;
        let value = self.braces();
        self.depth -= 1;
        value
    }

    /// What stands behind `${`.
    fn braces(&mut self) -> Result<String, ExpandError> {
        let name = self.name();
        match self.next().ok_or(ExpandError::Brace)? {
            '}' => Ok(match self.value(&name) {
                None if self.rules.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            ':' => {
                let modifier = self.next().ok_or(ExpandError::Brace)?;
                if !matches!(modifier, '-' | '+' | '?') {
                    return Err(ExpandError::Modifier(format!(":{modifier}")));
                }
                self.choice(&name, modifier, true)
            }
            modifier @ ('-' | '+' | '?') => self.choice(&name, modifier, false),
            modifier @ ('#' | '%') => {
                let word = self.word('}', true)?;
                let value = match self.value(&name) {
                    None if self.rules.keep_unset => return Ok(format!("${{{name}{modifier}{word}}}")),
                    value => value.unwrap_or_default(),
                };
                let (longest, pattern) =
                    word.strip_prefix(modifier).map_or((false, word.as_str()), |rest| (true, rest));
                let pattern = Pattern::parse(pattern).map_err(ExpandError::Escape)?;
                Ok(if modifier == '#' {
                    pattern.trim_start(&value, longest)
                } else {
                    pattern.trim_end(&value, longest)
                })
            }
            '/' => {
                let all = self.peek() == Some('/');
                if all {
                    self.at += 1;
                }
                let pattern = self.word('/', true)?;
                let replacement = self.word('}', true)?;
                // One that is not set is empty, which a pattern can match.
                let value = match self.value(&name) {
                    None if self.rules.keep_unset => return Ok(format!("${{{name}/{pattern}/{replacement}}}")),
                    value => value.unwrap_or_default(),
                };
                let pattern = Pattern::parse(&pattern).map_err(ExpandError::Escape)?;
                pattern.replace(&value, &replacement, all, MAX_SIZE).ok_or(ExpandError::Size)
            }
            other => Err(ExpandError::Modifier(other.to_string())),
        }
    }

    /// `-`, `+` and `?`; with `or_empty` (a colon) an empty value counts as none.
    fn choice(&mut self, name: &str, modifier: char, or_empty: bool) -> Result<String, ExpandError> {
        let word = self.word('}', false)?;
        let value = self.value(name);
        if self.rules.keep_unset && value.is_none() {
            let colon = if or_empty { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let found = value.filter(|value| !or_empty || !value.is_empty());
        match (modifier, found) {
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            (_, None) => {
                let empty = or_empty && self.variables.get(name).is_some();
                let message = match (word.is_empty(), empty) {
                    (false, _) => word,
                    (true, true) => "it must not be empty".into(),
                    (true, false) => "it must be set".into(),
                };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
        }
    }

    /// The word of a modifier, up to `stop`.
    fn word(&mut self, stop: char, raw_escapes: bool) -> Result<String, ExpandError> {
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let word = self.until(Some(stop));
        self.raw_escapes = outer;
        Ok(word?.0)
    }

    /// A variable's name: letters, digits and `_`, or digits alone, or one of the shell's special parameters.
    fn name(&mut self) -> String {
        let start = self.at;
        match self.peek() {
            Some(c) if is_digit(c) => {
                while self.peek().is_some_and(is_digit) {
                    self.at += 1;
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => self.at += 1,
            _ => {
                while self.peek().is_some_and(|c| c.is_alphabetic() || is_digit(c) || c == '_') {
                    self.at += 1;
                }
            }
        }
        self.chars[start..self.at].iter().collect()
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name);
        let seen = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        seen.insert(name.to_owned());
        value.map(str::to_owned)
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table(&'static [(&'static str, &'static str)]);

    impl Lookup for Table {
        fn get(&self, name: &str) -> Option<&str> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
        }
    }

    const VARIABLES: Table = Table(&[
        ("a", "value"),
        ("e", ""),
        ("p", "/usr/lib/libx.so.1"),
        ("s", "a*b*c"),
        ("two", "one two"),
        ("brace", "a}b"),
    ]);

    fn check(input: &str, expected: &str) {
        let result = Expander::new('\\').expand(input, &VARIABLES).map(|expanded| expanded.text);
        assert_eq!(result.as_deref(), Ok(expected), "{input}");
    }

    fn refuse(input: &str, expected: &str) {
        let result = Expander::new('\\').expand(input, &VARIABLES);
        assert_eq!(result.map_err(|error| error.to_string()), Err(expected.to_owned()), "{input}");
    }

    #[test]
    fn quotes_and_escapes() {
        check(r#"x"y z"'w v'u"#, "xy zw vu");
        check(r#"'it'\''s'"#, "it's");
        check(r#""\"\$\\\n""#, r#""$\\n"#);
        check(r"a\ b\", "a b");
        check("\\$a '$a' \"$a\" \\\\$a", "$a $a value \\value");
        refuse("\"x", "a double quote is not closed");
        refuse("it's", "a single quote is not closed");
    }

    #[test]
    fn names() {
        check("$a.$a_ ${a}s $1x[$@][$$]a$ $/x", "value. values x[][]a$ $/x");
        refuse("${}", "a substitution without a name");
        refuse("${a", "a substitution is not closed: `}` is missing");
        refuse("${a!b}", "`!` is no modifier of a substitution");
        refuse("${a:#b}", "`:#` is no modifier of a substitution");
    }

    #[test]
    fn choices() {
        check("${a:-d}${e:-d}${e-d}${n:-d}${n-d}", "valueddd");
        check("[${a:+x}${e:+x}${e+x}${n+x}]", "[xx]");
        check("${n:-${m:-${a:+deep}}}", "deep");
        check("${e?m}${a:?m}", "value");
        refuse("${e:?}", "e: it must not be empty");
        refuse("${n?}", "n: it must be set");
        refuse("${a:-${n:?boom}}", "n: boom");
    }

    #[test]
    fn patterns() {
        check("${p##*/} ${p#/*/} ${p%.*} ${p%%.*}", "libx.so.1 lib/libx.so.1 /usr/lib/libx.so /usr/lib/libx");
        check("${p/lib/LIB} ${p//l/L}", "/usr/LIB/libx.so.1 /usr/Lib/Libx.so.1");
        check(r"${s#a\*} ${s//\*/+} ${brace/\}/_}", "b*c a+b+c a_b");
        check("${a/$n/x} ${a//$n/-}", "xvalue -v-a-l-u-e-");
        check("${n/*/x} ${n//*/x} ${n/a/x}${n#*}", "x x ");
        check("${a//[aeiou]/x} ${a//?/'$0$0$1'} ${a/v/'$0'} ${a//v/'$'}", "value vvaalluuee $0alue $alue");
        check("${a//v/'${0}$$x$0x'}", "v$xalue");
        refuse(r"${n#\x}", r"`\x` is no escape in a pattern: only `*`, `?`, `\`, `/` and `}` can be escaped");
        refuse(r"${a#\x}", r"`\x` is no escape in a pattern: only `*`, `?`, `\`, `/` and `}` can be escaped");
        refuse("${a/b}", "the pattern of a substitution is not closed: `/` is missing");
    }

    #[test]
    fn splits_words_after_expansion() {
        let words = |input: &str| Expander::new('\\').expand(input, &VARIABLES).unwrap().words;
        assert_eq!(words("$two \"$two\" a\\ b 1${n}3"), ["one", "two", "one two", "a b", "13"]);
        assert_eq!(words("1${n:-2}3 4"), ["23", "4"]);
        assert_eq!(words("<< EOF x"), ["<< EOF", "x"]);
        assert_eq!(words(" "), [""; 0]);
    }

    #[test]
    fn says_which_variables_were_looked_up() {
        let expanded = Expander::new('\\').expand("$a ${n:-$m}", &VARIABLES).unwrap();
        assert_eq!(expanded.matched.into_iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(expanded.unmatched.into_iter().collect::<Vec<_>>(), ["m", "n"]);
    }

    #[test]
    fn hostile_input_is_refused() {
        let deep = format!("{}x{}", "${n:-".repeat(5000), "}".repeat(5000));
        refuse(&deep, "substitutions are nested more than 100 deep");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]

        #[test]
        fn any_text_is_expanded_or_refused(
            text in "([$]\\{?(a|e|p|s|n|brace)?|[:?+#%/*=<\\[}-]|[\"'` ]|\\\\|[a-zé]){0,24}",
            escape in proptest::sample::select(vec!['\\', '`']),
            rules in proptest::prelude::any::<[bool; 4]>(),
        ) {
            let [raw_quotes, raw_escapes, ignore_quotes, keep_unset] = rules;
            let rules = Expander { escape, raw_quotes, raw_escapes, ignore_quotes, keep_unset };
            let Ok(expanded) = rules.expand(&text, &VARIABLES) else { return Ok(()) };
            // No variable is longer than this, and only a replacement uses its value more than once.
            let longest = "/usr/lib/libx.so.1".len();
            if !text.contains('/') {
                proptest::prop_assert!(expanded.text.len() <= (text.len() + 1) * longest, "{} {}", text, expanded.text);
            }
            let words: usize = expanded.words.iter().map(String::len).sum();
            proptest::prop_assert!(words <= expanded.text.len());
            proptest::prop_assert!(expanded.words.iter().all(|word| !word.is_empty()));
            proptest::prop_assert!(expanded.matched.is_disjoint(&expanded.unmatched));
            // Where there is nothing to expand, nothing changes.
            if !text.contains(['$', '"', '\'', escape]) {
                proptest::prop_assert_eq!(&expanded.text, &text);
            }
        }
    }

    #[test]
    fn results_are_limited_however_they_come_about() {
        let mut text = "a".repeat(200);
        let mut variables = std::collections::BTreeMap::new();
        struct Map<'a>(&'a std::collections::BTreeMap<String, String>);
        impl Lookup for Map<'_> {
            fn get(&self, name: &str) -> Option<&str> {
                self.0.get(name).map(String::as_str)
            }
        }
        let mut refused = false;
        for _ in 0..8 {
            variables.insert("x".to_owned(), text.clone());
            match Expander::new('\\').expand("${x//?/$x}", &Map(&variables)) {
                Ok(expanded) => text = expanded.text,
                Err(error) => {
                    assert_eq!(error, ExpandError::Size);
                    refused = true;
                    break;
                }
            }
        }
        assert!(refused && text.len() <= MAX_SIZE);
    }
}
