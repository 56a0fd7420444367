//! The functions, one line each.

use super::{call, exists};
use crate::frontend::buildfile::foreign::Surroundings;
use crate::frontend::buildfile::foreign::types::{from_json, to_json};

/// The arguments and the result are JSON; an error is its message.
fn check(name: &str, arguments: serde_json::Value, expected: serde_json::Value) {
    let surroundings = Surroundings { variable: &|_| None, dotenv: None, platform: "linux/amd64".into(), epoch: 0 };
    let values = arguments.as_array().unwrap().iter().cloned().map(from_json).collect();
    let found = match call(name, values, &surroundings) {
        Ok(value) => to_json(&value),
        Err(problem) => problem.message.into(),
    };
    assert_eq!(found, expected, "{name}({arguments})");
}

macro_rules! table {
    ($($name:ident $arguments:tt => $expected:tt)*) => {
        $(check(stringify!($name), serde_json::json!($arguments), serde_json::json!($expected));)*
    };
}

#[test]
fn strings() {
    table! {
        base64encode ["héllo"] => "aMOpbGxv"
        base64encode ["ab"] => "YWI="
        base64encode ["a"] => "YQ=="
        base64decode ["aMOpbGxv"] => "héllo"
        base64decode ["YQ=="] => "a"
        base64decode ["YQ"] => "this is no base64"
        basename ["a/b/"] => "b"
        basename ["/"] => "/"
        dirname ["a/b/../c"] => "a"
        dirname ["/a"] => "/"
        dirname ["a"] => "."
        byteslen ["é"] => 2
        strlen ["é"] => 1
        chomp ["a\r\n\n"] => "a"
        indent [2, "a\nb"] => "a\n  b"
        join [",", ["a", "b"], ["c"]] => "a,b,c"
        join [",", [["a"]]] => "a list of strings is needed here"
        split ["/", "a/b"] => ["a", "b"]
        split ["/", ""] => [""]
        split ["", "ab"] => ["a", "b"]
        split ["", ""] => []
        replace ["a.b.c", ".", "-"] => "a-b-c"
        reverse ["abc"] => "cba"
        sanitize ["1.2/é"] => "1_2__"
        substr ["hello", 1, 3] => "ell"
        substr ["hello", -2, -1] => "lo"
        substr ["hello", 9, 1] => ""
        title ["hello big-world"] => "Hello Big-World"
        trim ["--a--", "-"] => "a"
        trimprefix ["v1", "v"] => "1"
        trimsuffix ["a.git", ".git"] => "a"
        trimspace [" a\n"] => "a"
        upper ["a"] => "A"
        lower ["A"] => "a"
        urlencode ["a b/c"] => "a+b%2Fc"
        md5 [""] => "d41d8cd98f00b204e9800998ecf8427e"
        md5 ["message digest"] => "f96b697d7cb7938d525a2f31aaf161d0"
        md5 ["12345678901234567890123456789012345678901234567890123456789012345678901234567890"] => "57edf4a22be3c955ac49da2e2107b67a"
        md5 ["55 bytes: the last ones for which one block is enough.."] => "6571eab50a9382566ae395f486465600"
        md5 ["56 bytes: the first ones for which it takes two blocks.."] => "f38c1ecea888ec55d74a27fa4a7533d7"
        sha1 ["abc"] => "a9993e364706816aba3e25717850c26c9cd0d89d"
        sha1 ["56 bytes: the first ones for which it takes two blocks.."] => "067e9c399c16b9a40801453a2125e4970a4309b9"
        uuidv5 ["dns", "www.example.com"] => "2ed6657d-e927-568b-95e1-2665a8aea6a2"
        uuidv5 ["cfbff0d1-9375-5685-968c-48ce8b15ae17", "a"] => "6b029abf-e09f-5b32-aba2-668d2cb0b55a"
        uuidv5 ["x", "a"] => "`dns`, `url`, `oid`, `x500` or a UUID is needed here"
        sha256 [""] => "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        jsonencode [{"b": [1, null], "a": 1.5}] => r#"{"a":1.5,"b":[1,null]}"#
        jsondecode ["{\"a\": [true]}"] => {"a": [true]}
    }
}

#[test]
fn formats_patterns_and_versions() {
    table! {
        format ["%s:%d %05.1f %-4s| %x %q %% %v", "a", 3, 2.25, "b", 255, "c\"", [1]] => "a:3 002.2 b   | ff \"c\\\"\" % [1]"
        format ["%[2]s-%[1]s", "a", "b"] => "b-a"
        format ["%s"] => "there is no argument for `%s`"
        formatlist ["%s-%s", ["a", "b"], "c"] => ["a-c", "b-c"]
        regex ["[0-9]+", "v12"] => "12"
        regex ["([a-z])([0-9])", "a1"] => ["a", "1"]
        regex ["(?P<x>[a-z])", "a1"] => {"x": "a"}
        regex ["b", "a"] => "the pattern does not match"
        regexall ["[0-9]", "1a2"] => ["1", "2"]
        regex_replace ["v1.2", "[^0-9]", "_"] => "_1_2"
        semvercmp ["1.2.3", ">= 1.2, < 2"] => true
        semvercmp ["v1.2.3", "~1.2.4"] => false
        semvercmp ["1.3.0", "^1.2"] => true
        semvercmp ["0.3.0", "^0.2.1"] => false
        semvercmp ["2.1.0", "1.x || >=2.1 <3"] => true
        semvercmp ["1.2.0-rc.1", ">=1.0"] => false
        semvercmp ["1.2.0-rc.2", ">1.2.0-rc.1"] => true
        semvercmp ["x.y", "1"] => "this is no version"
    }
}

#[test]
fn numbers() {
    table! {
        add [1, 2.5] => 3.5
        divide [1, 0] => "this is no number, or too large a one"
        modulo [7, 3] => 1
        max [1, 3, 2] => 3
        min [1, 3, 2] => 1
        int [1.7] => 1
        pow [2, 10] => 1024
        log [8, 2] => 3
        signum [4] => 1
        parseint ["ff", 16] => 255
        parseint ["12", 2] => "`12` is no number of base 2"
        and [true, false] => false
        or [true, "false"] => true
        not [true] => false
        equal ["a", "a"] => true
        notequal [1, "1"] => true
        lessthan [1, 2] => true
        greaterthanorequalto [2, 2] => true
    }
}

#[test]
fn lists_and_maps() {
    table! {
        chunklist [[1, 2, 3], 2] => [[1, 2], [3]]
        coalesce [null, "", "a"] => ""
        coalescelist [[], [1]] => [1]
        compact [["a", "", "b"]] => ["a", "b"]
        concat [["a"], ["b"], []] => ["a", "b"]
        contains [["a", "b"], "b"] => true
        csvdecode ["a,b\n1,\"2,3\"\n"] => [{"a": "1", "b": "2,3"}]
        distinct [["b", "a", "b"]] => ["b", "a"]
        element [["a", "b"], 3] => "b"
        element [[], 0] => "the list is empty"
        flatten [["a", ["b", ["c"]]]] => ["a", "b", "c"]
        hasindex [["a"], 1] => false
        hasindex [{"a": 1}, "a"] => true
        index [["a", "b"], 1] => "b"
        index [{"a": 1}, "a"] => 1
        indexof [["a", "b"], "b"] => 1
        keys [{"b": 1, "a": 2}] => ["a", "b"]
        values [{"b": 1, "a": 2}] => [2, 1]
        length [["a"]] => 1
        length ["a"] => "a list or a map is needed here, not a string"
        lookup [{"a": 1}, "b", 2] => 2
        merge [{"a": 1}, {"a": 2, "b": 3}] => {"a": 2, "b": 3}
        range [3] => [0, 1, 2]
        range [3, 0] => [3, 2, 1]
        range [0, 1, 0.5] => [0, 0.5]
        range [1e9] => "more than 4096 numbers"
        reverselist [[1, 2]] => [2, 1]
        setintersection [["a", "b"], ["b"]] => ["b"]
        setproduct [["a", "b"], [1]] => [["a", 1], ["b", 1]]
        setsubtract [["b", "a"], ["b"]] => ["a"]
        setsymmetricdifference [["a", "b"], ["b", "c"]] => ["a", "c"]
        setunion [["b"], ["a", "b"]] => ["a", "b"]
        slice [[1, 2, 3], 1, 3] => [2, 3]
        slice [[1], 1, 0] => "a list of 1 has no such part"
        sort [["b", "a"]] => ["a", "b"]
        zipmap [["a"], [1]] => {"a": 1}
    }
}

#[test]
fn times() {
    table! {
        timestamp [] => "1970-01-01T00:00:00Z"
        formatdate ["EEEE, DD-MMM-YY hh:mm:ss ZZZ", "2024-02-29T13:04:05Z"] => "Thursday, 29-Feb-24 13:04:05 UTC"
        formatdate ["HH 'o''clock' AA Z", "2024-02-29T13:04:05+01:00"] => "01 o'clock PM +01:00"
        formatdate ["YYYY", "yesterday"] => "a time such as `2024-03-01T12:00:00Z` is needed here"
        formattimestamp ["YYYYMMDD", 951782400] => "20000229"
        formattimestamp ["X", "2000-02-29T00:00:00Z"] => "951782400"
        timeadd ["2023-12-31T23:30:00Z", "1h30m"] => "2024-01-01T01:00:00Z"
        timeadd ["2023-12-31T23:30:00Z", "1 hour"] => "this is no duration, such as `1h30m`"
    }
    let parts = serde_json::json!({
        "year": 2024, "year_day": 366, "day": 31, "month": 12, "month_name": "December", "weekday": 2,
        "weekday_name": "Tuesday", "hour": 0, "minute": 0, "second": 0, "rfc3339": "2024-12-31T00:00:00Z",
        "iso_year": 2025, "iso_week": 1
    });
    check("unixtimestampparse", serde_json::json!([1735603200]), parts);
}

#[test]
fn unknown_and_missing_functions_are_named() {
    table! {
        uuidv4 [] => "the function `uuidv4` is not supported"
        uper ["a"] => "there is no function `uper`"
        upper [] => "`upper` takes 1 arguments, not 0"
        lookup [{}] => "`lookup` takes 2 to 3 arguments, not 1"
    }
    let long = "a".repeat(1 << 20);
    for (name, arguments) in [
        ("replace", serde_json::json!([long, "a", "bb"])),
        ("indent", serde_json::json!([900, "\n".repeat(10_000)])),
        ("join", serde_json::json!([long, ["a", "b", "c"]])),
    ] {
        check(name, arguments, "longer than a mebibyte".into());
    }
    let dollars = serde_json::json!([long, "a", "$0$0$0"]);
    check("regex_replace", dollars, "the result may be too long".into());
    let long = vec![long; 40];
    check("formatlist", serde_json::json!(["%s", long]), "the result is too long".into());
    check("setproduct", serde_json::json!([long, long]), "the combinations are too large".into());
    assert!(exists("try") && exists("bcrypt") && exists("upper") && !exists("uper"));
}
