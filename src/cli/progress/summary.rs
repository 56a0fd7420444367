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
    images.iter().for_each(|image| lines.extend(about(image)));
    lines
}

fn about(image: &ImageSummary) -> Vec<String> {
    let mut words = Vec::new();
    if !image.target.is_empty() {
        words.push(format!("target {}", image.target));
    }
    if !image.digest.is_empty() {
        words.push(image.digest.clone());
    }
    if image.size > 0 {
        words.push(human::size(image.size));
    }
    let mut lines = Vec::new();
    if !words.is_empty() {
        lines.push(format!("  image   {}", words.join("  ")));
    }
    lines.extend(image.tags.iter().map(|tag| format!("  tag     {tag}")));
    lines.extend(image.outputs.iter().map(|output| format!("  output  {output}")));
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn says_what_was_made() {
        let image = ImageSummary {
            target: "web".into(),
            digest: "sha256:1234".into(),
            tags: vec!["web:1".into(), "web:latest".into()],
            size: 4_260_000,
            outputs: vec!["web.tar".into()],
        };
        let summary = Summary { executed: 1, cached: 9, images: vec![image], elapsed: Duration::from_millis(3210) };
        assert_eq!(
            lines(&summary),
            [
                "Finished in 3.2s: 1 step run, 9 cached",
                "  image   target web  sha256:1234  4.26MB",
                "  tag     web:1",
                "  tag     web:latest",
                "  output  web.tar",
            ]
        );
        let check = |executed, cached, expected: &str| {
            assert_eq!(lines(&Summary { executed, cached, ..Summary::default() }), [expected]);
        };
        check(0, 3, "Finished in 0.0s: nothing to do, 3 steps cached");
        check(3, 0, "Finished in 0.0s: 3 steps run");
        check(0, 0, "Finished in 0.0s");
    }
}
