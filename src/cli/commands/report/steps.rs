//! The steps on a page: as bars in lanes over time, and as a list with what each wrote.

use std::time::Duration;

use super::data::{Report, Step};
use super::html::Html;
use super::page::section;
use super::scale::{Scale, label};
use crate::cli::human;
use crate::cli::timeline::{Span, What, lanes};
use crate::event::Outcome;
use crate::ops::record::{Ended, StepEnded};

/// Draws what ran when.
pub fn timeline(report: &Report, html: &mut Html) {
    let bars: Vec<&Span> = report.spans.iter().filter(|span| span.what != What::Phase).collect();
    if bars.is_empty() {
        if report.ended == Ended::Done {
            let cached = human::count(report.cached, "step");
            section("Timeline", "", html, |html| {
                html.leaf("p", &[("class", &"dim")], format!("Nothing ran: {cached} came from the cache."));
            });
        }
        return;
    }
    let scale = Scale::to(report.spans.iter().map(|span| span.end).max().unwrap_or_default());
    let lanes = lanes(bars.iter().copied());
    let count = lanes.iter().max().map_or(0, |last| last + 1);
    let remark = format!("{} at most at once", human::count(count, "step"));
    let remark = if count > 1 { remark.as_str() } else { "one step at a time" };
    section("Timeline", remark, html, |html| {
        html.tag("div", &[("class", &"timeline"), ("tabindex", &0)], |html| {
            html.tag("div", &[("class", &"axis")], |html| {
                for mark in scale.marks() {
                    let style = format!("left:{:.3}%", scale.percent(mark));
                    html.leaf("span", &[("style", &style)], label(mark));
                }
            });
            html.tag("div", &[("class", &"lane phases")], |html| {
                for phase in report.spans.iter().filter(|span| span.what == What::Phase) {
                    let style = scale.bar(phase.start, phase.end);
                    let title = format!("{}: {}", phase.name, human::elapsed(phase.elapsed()));
                    html.tag("span", &[("class", &"phase"), ("style", &style), ("title", &title)], |html| {
                        html.leaf("i", &[], &phase.name);
                    });
                }
            });
            for lane in 0..count {
                html.tag("div", &[("class", &"lane")], |html| {
                    let own = bars.iter().zip(&lanes).filter(|(_, at)| **at == lane);
                    own.for_each(|(span, _)| bar(report, span, scale, html));
                });
            }
        });
        legend(report, html);
        path(report, html);
    });
}

fn bar(report: &Report, span: &Span, scale: Scale, html: &mut Html) {
    let time = human::elapsed(span.elapsed());
    let mut title = format!("{} · {time}", span.name);
    let style = scale.bar(span.start, span.end);
    match &span.what {
        What::Step { step, outcome, reason } => {
            let class = match outcome {
                Outcome::Done => "ran",
                Outcome::Cached => "cached",
                Outcome::Failed(_) => "failed",
                Outcome::Canceled => "canceled",
            };
            if !reason.is_empty() {
                title += &format!("\n{reason}");
            }
            let critical = report.steps.iter().any(|one| one.number == *step && one.critical);
            let class = format!("bar {class}{}", if critical { " critical" } else { "" });
            let link = format!("#step-{step}");
            html.tag("a", &[("class", &class), ("href", &link), ("style", &style), ("title", &title)], |html| {
                html.leaf("i", &[], &span.name);
            });
        }
        What::Task | What::Phase => {
            html.tag("span", &[("class", &"bar task"), ("style", &style), ("title", &title)], |html| {
                html.leaf("i", &[], &span.name);
            });
        }
    }
}

fn legend(report: &Report, html: &mut Html) {
    let is = |wanted: fn(&Outcome) -> bool| {
        report.spans.iter().any(|span| matches!(&span.what, What::Step { outcome, .. } if wanted(outcome)))
    };
    let entries: [(&str, bool, &str); 6] = [
        ("ran", is(|outcome| *outcome == Outcome::Done), "ran"),
        ("critical ran", report.critical.is_some(), "on the critical path"),
        ("cached", is(|outcome| *outcome == Outcome::Cached), "found when its inputs were there"),
        ("failed", is(|outcome| matches!(outcome, Outcome::Failed(_))), "failed"),
        ("canceled", is(|outcome| *outcome == Outcome::Canceled), "stopped"),
        ("task", report.spans.iter().any(|span| span.what == What::Task), "other work"),
    ];
    html.tag("p", &[("class", &"legend")], |html| {
        for (class, _, name) in entries.iter().filter(|(_, there, _)| *there) {
            html.tag("span", &[], |html| {
                html.leaf("b", &[("class", &format!("bar {class}"))], "");
                html.text(name);
            });
        }
    });
}

/// The critical path in words.
fn path(report: &Report, html: &mut Html) {
    let (Some(critical), false) = (report.critical, report.steps.is_empty()) else { return };
    html.tag("details", &[("class", &"path")], |html| {
        html.tag("summary", &[], |html| {
            html.text(format!("The critical path took {}: ", human::elapsed(critical)));
            html.text("no faster than that, however many steps run at once");
        });
        html.tag("ol", &[], |html| {
            for step in report.steps.iter().filter(|step| step.critical) {
                html.tag("li", &[], |html| {
                    html.leaf("a", &[("href", &format!("#step-{}", step.number))], &step.title);
                    html.leaf("small", &[], human::elapsed(step.elapsed));
                });
            }
        });
    });
}

/// Lists the steps with what they wrote.
pub fn list(report: &Report, html: &mut Html) {
    let steps: Vec<&Step> =
        report.steps.iter().filter(|step| step.ended != StepEnded::Canceled || is_begun(step)).collect();
    if steps.is_empty() {
        return;
    }
    let never = report.steps.len() - steps.len();
    let remark = match never {
        0 => String::new(),
        never => format!("{} never began", human::count(never, "more step")),
    };
    section("Steps", &remark, html, |html| {
        html.tag("div", &[("class", &"steps")], |html| steps.iter().for_each(|step| one(report, step, html)));
    });
}

fn is_begun(step: &Step) -> bool {
    step.started > Duration::ZERO
}

fn one(report: &Report, step: &Step, html: &mut Html) {
    let (class, word) = match &step.ended {
        StepEnded::Done => ("ran", ""),
        StepEnded::Failed(_) => ("failed", "failed"),
        StepEnded::Canceled => ("canceled", "stopped"),
    };
    let open: &[(&'static str, &dyn std::fmt::Display)] = match &step.ended {
        StepEnded::Failed(_) => &[("open", &"")],
        StepEnded::Done | StepEnded::Canceled => &[],
    };
    html.tag("details", open, |html| {
        html.tag("summary", &[], |html| {
            let critical = if step.critical { " critical" } else { "" };
            html.leaf("b", &[("class", &format!("bar {class}{critical}"))], "");
            html.leaf("code", &[], &step.title);
            html.tag("small", &[], |html| {
                if !word.is_empty() {
                    html.leaf("em", &[], word);
                    html.text(" ");
                }
                html.text(human::elapsed(step.elapsed));
            });
        });
        // The name is inside, so that a link to it opens what is folded.
        html.tag("div", &[("id", &format!("step-{}", step.number)), ("class", &"inside")], |html| {
            html.tag("p", &[("class", &"dim")], |html| {
                let began = format!("began after {}", human::elapsed(step.started));
                let reason = Some(&step.reason).filter(|reason| !reason.is_empty());
                let reason = reason.map(|reason| format!("because {reason}"));
                let parts = [reason, step.place.clone(), Some(began)];
                html.text(parts.into_iter().flatten().collect::<Vec<_>>().join(" · "));
            });
            if let StepEnded::Failed(message) = &step.ended {
                html.leaf("p", &[("class", &"error")], message);
            }
            output(report, step, html);
        });
    });
}

fn output(report: &Report, step: &Step, html: &mut Html) {
    if step.output.is_empty() {
        html.leaf("p", &[("class", &"dim")], "It wrote nothing.");
        return;
    }
    // The end of what a failed step wrote is what matters.
    let class = if matches!(step.ended, StepEnded::Failed(_)) { "log from-end" } else { "log" };
    html.tag("div", &[("class", &class), ("tabindex", &0)], |html| {
        html.tag("pre", &[], |html| {
            step.output.head.iter().for_each(|line| html.text(format_args!("{line}\n")));
            if step.output.gone > 0 {
                let lines = human::count(step.output.gone, "line");
                let hint =
                    format!("… {lines} are left out: imgbuild log {} '{}'\n", report.id, first_words(&step.title));
                html.leaf("em", &[], hint);
            }
            step.output.tail.iter().for_each(|line| html.text(format_args!("{line}\n")));
        })
    });
}

/// Enough of a step's name to find it by.
fn first_words(title: &str) -> String {
    let name = title.split_once("] ").map_or(title, |(_, name)| name);
    name.split('\'').next().unwrap_or_default().chars().take(40).collect::<String>().trim_end().to_owned()
}
