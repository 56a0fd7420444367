//! The signals that `STOPSIGNAL` takes.

const NAMES: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN",
];

/// Whether a text names a signal: a number but zero, or a name of Linux in any case, with or without `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |prefix: &str, most: u32| {
        let digits = name.strip_prefix(prefix);
        digits.is_some_and(|n| {
            !n.starts_with('0') && n.parse::<u32>().is_ok_and(|n| (1..=most).contains(&n)) && !n.starts_with('+')
        })
    };
    NAMES.contains(&name) || name == "RTMAX" || offset("RTMIN+", 15) || offset("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_signals() {
        for text in ["SIGINT", "9", "term", "sigusr1", "SIGRTMIN+3", "RTMAX-14", "RTMAX", "SIGRTMIN"] {
            assert!(is_signal(text), "{text}");
        }
        for text in ["0", "", "NOSUCH", "SIG", "RTMIN+16", "RTMIN+", "RTMIN+03", "9x"] {
            assert!(!is_signal(text), "{text}");
        }
    }
}
