//! The last words of a build.

use crate::cli::human;
use crate::event::{ImageSummary, Summary};

/// What was made, for people: a line about the whole and a few about each image.
pub fn lines(summary: &Summary) -> Vec<String> {
    let Summary { executed, cached, images, elapsed } = summary;
    let steps = match (executed, cached) {
        (0, 0) => String::new(),
        (0, cached) => format!(": nothing to do, {} cached", human::count(*cached, "step")),
        (executed, 0) => format!(": {} run", human::count(*executed, "step")),
        (executed, cached) => format!(": {} run, {cached} cached", human::count(*executed, "step")),
    };
    let mut lines = vec![format!("Finished in {}{steps}", human::elapsed(*elapsed))];
    let width = images.iter().map(|image| image.target.chars().count()).max().unwrap_or_default();
    for image in images {
        match &*image.target {
            "" => lines.extend(about(image)),
            name => lines.extend(of_target(image).map(|words| format!("  {name:width$}  {words}"))),
        }
    }
    lines
}

/// The image of a build that has no other, in a line for each of its parts.
fn about(image: &ImageSummary) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(identity) = identity(image) {
        lines.push(format!("  image   {identity}"));
    }
    lines.extend(image.tags.iter().map(|tag| format!("  tag     {tag}")));
    lines.extend(image.outputs.iter().map(|output| format!("  output  {output}")));
    lines
}

/// What came of one of several targets; none if it was only built for others.
fn of_target(image: &ImageSummary) -> Option<String> {
    let words: Vec<String> =
        identity(image).into_iter().chain(image.tags.iter().cloned()).chain(image.outputs.iter().cloned()).collect();
    (!words.is_empty()).then(|| words.join("  "))
}

fn identity(image: &ImageSummary) -> Option<String> {
    let size = if image.size > 0 { format!("  {}", human::size(image.size)) } else { String::new() };
    (!image.digest.is_empty()).then(|| format!("{}{size}", image.digest))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn says_what_was_made() {
        let image = ImageSummary {
            target: String::new(),
            digest: "sha256:1234".into(),
            tags: vec!["web:1".into(), "web:latest".into()],
            size: 4_260_000,
            outputs: vec!["web.tar".into()],
        };
        let web = ImageSummary { target: "web".into(), ..image.clone() };
        let summary = Summary { executed: 1, cached: 9, images: vec![image], elapsed: Duration::from_millis(3210) };
        assert_eq!(
            lines(&summary),
            [
                "Finished in 3.2s: 1 step run, 9 cached",
                "  image   sha256:1234  4.26MB",
                "  tag     web:1",
                "  tag     web:latest",
                "  output  web.tar",
            ]
        );
        let base = ImageSummary { target: "base".into(), ..ImageSummary::default() };
        let files = ImageSummary { target: "greetings".into(), outputs: vec!["out".into()], ..ImageSummary::default() };
        let summary = Summary { images: vec![base, web, files], ..Summary::default() };
        assert_eq!(
            lines(&summary)[1..],
            ["  web        sha256:1234  4.26MB  web:1  web:latest  web.tar", "  greetings  out"]
        );
        let check = |executed, cached, expected: &str| {
            assert_eq!(lines(&Summary { executed, cached, ..Summary::default() }), [expected]);
        };
        check(0, 3, "Finished in 0.0s: nothing to do, 3 steps cached");
        check(3, 0, "Finished in 0.0s: 3 steps run");
        check(0, 0, "Finished in 0.0s");
    }
}
