//! What words expand to, and what cannot be expanded.

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
