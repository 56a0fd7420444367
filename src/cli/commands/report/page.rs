//! The page: its head, and one section after the other.

use std::time::Duration;

use super::data::{Cause, Pin, Report};
use super::html::Html;
use super::images::{Made, PlatformImage};
use super::steps;
use crate::cli::{human, table};
use crate::export::rfc3339;
use crate::ops::record::Ended;

/// What browsers are told not to do, whatever the page says: load anything, run anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

const STYLE: &str = include_str!("style.css");

/// How many layers of an image are shown.
const LAYERS: usize = 25;
/// How many steps are named at once that ran for one reason.
const NAMED: usize = 4;

/// Writes the page.
pub fn page(report: &Report) -> String {
    let mut html = Html::default();
    html.own("<!doctype html>\n");
    html.tag("html", &[("lang", &"en")], |html| {
        html.tag("head", &[], |html| {
            html.open("meta", &[("charset", &"utf-8")]);
            html.open("meta", &[("http-equiv", &"Content-Security-Policy"), ("content", &POLICY)]);
            html.open("meta", &[("name", &"viewport"), ("content", &"width=device-width, initial-scale=1")]);
            html.open("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
            html.leaf("title", &[], format!("{} · build {}", report.definition, report.id));
            // An icon of nothing, or browsers ask for one.
            html.own("<link rel=\"icon\" href=\"data:,\">\n<style>\n");
            html.own(STYLE);
            html.own("</style>\n");
        });
        html.tag("body", &[], |html| {
            head(report, html);
            html.tag("main", &[], |html| body(report, html));
            html.tag("footer", &[], |html| {
                html.text(format!("Written by imgbuild {}. Times of day are UTC.", env!("CARGO_PKG_VERSION")));
            });
        });
    });
    html.text("\n");
    html.finish()
}

fn head(report: &Report, html: &mut Html) {
    html.tag("header", &[], |html| {
        html.tag("p", &[("class", &"over")], |html| {
            html.text("Build ");
            html.leaf("code", &[], &report.id);
        });
        html.tag("h1", &[], |html| {
            html.leaf("span", &[("class", &"name"), ("title", &report.path)], &report.definition);
            let (class, word) = match report.ended {
                Ended::Done => ("done", "done"),
                Ended::Failed(_) => ("failed", "failed"),
                Ended::Canceled => ("canceled", "canceled"),
            };
            html.leaf("span", &[("class", &format!("badge {class}"))], word);
        });
        html.tag("dl", &[("class", &"figures")], |html| {
            let mut figure = |name: &'static str, value: String, note: String| {
                html.tag("div", &[], |html| {
                    html.leaf("dt", &[], name);
                    html.tag("dd", &[], |html| {
                        html.text(value);
                        if !note.is_empty() {
                            html.leaf("small", &[], note);
                        }
                    });
                });
            };
            figure("took", human::elapsed(report.elapsed), String::new());
            if let Some(critical) = report.critical {
                figure("critical path", human::elapsed(critical), String::new());
            }
            figure("ran", report.ran.to_string(), String::new());
            figure("cached", report.cached.to_string(), share(report));
            figure("started", day(report.when), clock(report.when));
        });
    });
}

fn share(report: &Report) -> String {
    match report.ran + report.cached {
        0 => String::new(),
        whole => format!("{}%", report.cached * 100 / whole),
    }
}

fn day(when: i64) -> String {
    rfc3339(when).chars().take(10).collect()
}

fn clock(when: i64) -> String {
    rfc3339(when).chars().skip(11).take(8).collect()
}

fn body(report: &Report, html: &mut Html) {
    if let Ended::Failed(message) = &report.ended {
        html.tag("section", &[("class", &"trouble")], |html| {
            html.leaf("h2", &[], "Why it failed");
            html.leaf("pre", &[], message);
            let failed =
                report.steps.iter().find(|step| matches!(step.ended, crate::ops::record::StepEnded::Failed(_)));
            if let Some(step) = failed {
                html.tag("p", &[], |html| {
                    html.leaf("a", &[("href", &format!("#step-{}", step.number))], "What it printed");
                });
            }
        });
    }
    steps::timeline(report, html);
    causes(&report.causes, html);
    steps::list(report, html);
    if let Some(graph) = &report.graph {
        section("Graph", "", html, |html| {
            // It shrinks to the page, as long as it can be read.
            let style = format!("--whole:{:.0}px;--least:{:.0}px", graph.width(), graph.width() * 0.58);
            html.tag("div", &[("class", &"picture"), ("style", &style), ("tabindex", &0)], |html| html.picture(graph));
        });
    }
    images(&report.images, html);
    pins(&report.pins, html);
    warnings(&report.warnings, html);
    about(report, html);
}

/// A section with a heading, and a remark beside it.
pub fn section(title: &'static str, remark: &str, html: &mut Html, inner: impl FnOnce(&mut Html)) {
    html.tag("section", &[], |html| {
        html.tag("h2", &[], |html| {
            html.text(title);
            if !remark.is_empty() {
                html.leaf("small", &[], remark);
            }
        });
        inner(html);
    });
    html.text("\n");
}

fn causes(causes: &[Cause], html: &mut Html) {
    if causes.is_empty() {
        return;
    }
    section("Why steps ran", "", html, |html| {
        html.tag("ul", &[("class", &"causes")], |html| {
            for cause in causes {
                html.tag("li", &[], |html| {
                    for reason in &cause.reasons {
                        html.leaf("p", &[("class", &"reason")], reason);
                    }
                    let (first, more) = cause.steps.split_at(cause.steps.len().min(NAMED));
                    first.iter().for_each(|step| step_of(step, html));
                    if !more.is_empty() {
                        html.tag("details", &[], |html| {
                            html.leaf("summary", &[], format!("and {}", human::count(more.len(), "more step")));
                            more.iter().for_each(|step| step_of(step, html));
                        });
                    }
                });
            }
        });
    });
}

/// A line about a step that ran for a reason.
fn step_of((number, title): &(usize, String), html: &mut Html) {
    html.tag("p", &[("class", &"because")], |html| {
        html.leaf("a", &[("href", &format!("#step-{number}"))], title);
    });
}

fn images(images: &[Made], html: &mut Html) {
    for image in images.iter().filter(|image| !image.digest.is_empty()) {
        let size: u64 = image.platforms.iter().map(|one| one.size).sum();
        let size = if size > 0 { human::size(size) } else { String::new() };
        section("Image", &size, html, |html| {
            html.tag("p", &[("class", &"names")], |html| {
                if !image.target.is_empty() {
                    html.leaf("strong", &[], &image.target);
                    html.text(" ");
                }
                for tag in &image.tags {
                    html.leaf("code", &[("class", &"tag")], tag);
                    html.text(" ");
                }
                html.leaf("code", &[("class", &"digest")], &image.digest);
            });
            if image.platforms.is_empty() {
                html.leaf("p", &[("class", &"dim")], "It is not in the store, so its layers are not known.");
            }
            let several = image.platforms.len() > 1;
            image.platforms.iter().for_each(|one| layers(one, several, html));
        });
    }
}

fn layers(image: &PlatformImage, several: bool, html: &mut Html) {
    if several {
        html.leaf("h3", &[], format!("{} · {}", image.platform, human::size(image.size)));
    }
    let largest = image.layers.first().map_or(1, |layer| layer.size.max(1));
    html.tag("table", &[("class", &"layers")], |html| {
        for layer in image.layers.iter().take(LAYERS) {
            #[expect(clippy::cast_precision_loss, reason = "a bar has a few hundred pixels")]
            let width = 100.0 * layer.size as f64 / largest as f64;
            html.tag("tr", &[("title", &layer.digest)], |html| {
                html.leaf("td", &[("class", &"size")], human::size(layer.size));
                html.tag("td", &[], |html| {
                    html.leaf("span", &[("class", &"bar"), ("style", &format!("width:{width:.2}%"))], "");
                    let known = !layer.instruction.is_empty();
                    let text = if known { &layer.instruction } else { "of the base image" };
                    html.leaf("code", &[], table::cut(text, 160));
                    html.leaf("small", &[], format!("layer {}", layer.number));
                });
            });
        }
    });
    if image.layers.len() > LAYERS {
        let more = image.layers.len() - LAYERS;
        html.leaf("p", &[("class", &"dim")], format!("and {} that are smaller", human::count(more, "layer")));
    }
}

fn pins(pins: &[Pin], html: &mut Html) {
    if pins.is_empty() {
        return;
    }
    section("From outside", "as it was pinned", html, |html| {
        html.tag("table", &[("class", &"pins")], |html| {
            for pin in pins {
                html.tag("tr", &[], |html| {
                    html.leaf("td", &[("class", &"kind")], pin.kind);
                    html.tag("td", &[], |html| {
                        html.leaf("code", &[], &pin.name);
                        if !pin.platform.is_empty() {
                            html.leaf("small", &[], &pin.platform);
                        }
                        html.leaf("code", &[("class", &"digest")], &pin.value);
                    });
                });
            }
        });
    });
}

fn warnings(warnings: &[String], html: &mut Html) {
    if warnings.is_empty() {
        return;
    }
    section("Warnings", "", html, |html| {
        html.tag("ul", &[("class", &"warnings")], |html| {
            warnings.iter().for_each(|warning| html.leaf("li", &[], warning));
        });
    });
}

fn about(report: &Report, html: &mut Html) {
    section("Circumstances", "", html, |html| {
        html.tag("table", &[("class", &"about")], |html| {
            let mut row = |name: &'static str, value: &str| {
                if !value.is_empty() {
                    html.tag("tr", &[], |html| {
                        html.leaf("th", &[("scope", &"row")], name);
                        html.tag("td", &[], |html| html.leaf("code", &[], value));
                    });
                }
            };
            row("command", &command(&report.command));
            row("definition", &report.path);
            row("platforms", &report.platforms.join(", "));
            row("imgbuild", &report.program);
            row("started", &rfc3339(report.when));
            row("took", &exact(report.elapsed));
        });
    });
}

/// A command as one would type it.
fn command(words: &[String]) -> String {
    if words.is_empty() {
        return String::new();
    }
    let is_plain = |c: char| c.is_alphanumeric() || "-_=./:,@%+*".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    format!("imgbuild {}", words.iter().map(word).collect::<Vec<_>>().join(" "))
}

fn exact(time: Duration) -> String {
    format!("{:.3}s", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
