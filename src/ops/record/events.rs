//! Logs as they are kept: one row after the other, numbers in full, all of it as zstd.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lists::unpack;
use super::log::Log;
use crate::event::{Event, ImageSummary, Outcome, Stream, Summary};

/// The first byte; another one is another encoding.
const VERSION: u8 = 1;
/// The bytes of a row besides its text: kind, time, number, duration, length.
const FIXED: usize = 1 + 8 + 8 + 8 + 4;

/// The last event of a build that went well, which has more to say than a row.
#[derive(Serialize, Deserialize)]
struct SummaryRow {
    executed: usize,
    cached: usize,
    images: Vec<ImageRow>,
}

#[derive(Serialize, Deserialize)]
struct ImageRow {
    target: String,
    digest: String,
    tags: Vec<String>,
    size: u64,
    outputs: Vec<String>,
}

/// The bytes of a log; none if compressing fails.
pub fn encode(log: &Log) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (time, event) in &log.entries {
        row(*time, event, &mut bytes)?;
    }
    let mut packed = vec![VERSION];
    packed.extend(zstd::bulk::compress(&bytes, 1).ok()?);
    Some(packed)
}

fn row(time: Duration, event: &Event, bytes: &mut Vec<u8>) -> Option<()> {
    let none = Duration::ZERO;
    let (kind, number, elapsed, text): (u8, usize, Duration, &[u8]) = match event {
        Event::Explained(step, reason) => (1, *step, none, reason.as_bytes()),
        Event::Started(step) => (2, *step, none, b""),
        Event::Output(step, Stream::Stdout, text) => (3, *step, none, text),
        Event::Output(step, Stream::Stderr, text) => (4, *step, none, text),
        Event::Finished(step, Outcome::Cached, elapsed) => (5, *step, *elapsed, b""),
        Event::Finished(step, Outcome::Done, elapsed) => (6, *step, *elapsed, b""),
        Event::Finished(step, Outcome::Failed(message), elapsed) => (7, *step, *elapsed, message.as_bytes()),
        Event::Finished(step, Outcome::Canceled, elapsed) => (8, *step, *elapsed, b""),
        Event::TaskStarted(task, name) => (9, *task, none, name.as_bytes()),
        Event::TaskFinished(task, elapsed) => (10, *task, *elapsed, b""),
        Event::Warning(text) => (11, 0, none, text.as_bytes()),
        Event::Summary(summary) => (12, 0, summary.elapsed, &summary_row(summary)?),
        Event::Planned(_) | Event::Progress(..) | Event::TaskProgress(..) => return Some(()),
    };
    bytes.push(kind);
    for number in [micros(time), u64::try_from(number).ok()?, micros(elapsed)] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(text);
    Some(())
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

fn summary_row(summary: &Summary) -> Option<Vec<u8>> {
    let image = |image: &ImageSummary| {
        let ImageSummary { target, digest, tags, size, outputs } = image.clone();
        ImageRow { target, digest, tags, size, outputs }
    };
    let images = summary.images.iter().map(image).collect();
    serde_json::to_vec(&SummaryRow { executed: summary.executed, cached: summary.cached, images }).ok()
}

/// The log in these bytes; none if they are damaged or of another version.
pub fn decode(bytes: &[u8]) -> Option<Log> {
    let (&VERSION, packed) = bytes.split_first()? else { return None };
    let bytes = unpack(packed)?;
    let mut rest = &bytes[..];
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (fixed, after) = rest.split_first_chunk::<FIXED>()?;
        let eight = |at: usize| fixed[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let (time, elapsed) = (Duration::from_micros(eight(1)?), Duration::from_micros(eight(17)?));
        let number = usize::try_from(eight(9)?).ok()?;
        let length = u32::from_le_bytes(*fixed[25..].first_chunk()?);
        let (text, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        entries.push((time, event(fixed[0], number, elapsed, text)?));
        rest = after;
    }
    Some(Log { entries })
}

fn event(kind: u8, number: usize, elapsed: Duration, text: &[u8]) -> Option<Event> {
    let words = || String::from_utf8(text.to_vec()).ok();
    Some(match kind {
        1 => Event::Explained(number, words()?),
        2 => Event::Started(number),
        3 => Event::Output(number, Stream::Stdout, text.to_vec()),
        4 => Event::Output(number, Stream::Stderr, text.to_vec()),
        5 => Event::Finished(number, Outcome::Cached, elapsed),
        6 => Event::Finished(number, Outcome::Done, elapsed),
        7 => Event::Finished(number, Outcome::Failed(words()?), elapsed),
        8 => Event::Finished(number, Outcome::Canceled, elapsed),
        9 => Event::TaskStarted(number, words()?),
        10 => Event::TaskFinished(number, elapsed),
        11 => Event::Warning(words()?),
        12 => {
            let SummaryRow { executed, cached, images } = serde_json::from_slice(text).ok()?;
            let image =
                |ImageRow { target, digest, tags, size, outputs }| ImageSummary { target, digest, tags, size, outputs };
            Event::Summary(Summary { executed, cached, images: images.into_iter().map(image).collect(), elapsed })
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        let time = Duration::from_micros;
        let image = ImageSummary {
            target: "web".into(),
            digest: "sha256:1".into(),
            tags: vec!["web:1".into()],
            size: 7,
            outputs: vec!["a.tar".into()],
        };
        let summary = Summary { executed: 1, cached: 2, images: vec![image], elapsed: time(99) };
        let events = vec![
            Event::Explained(3, "a changed".into()),
            Event::Started(3),
            Event::Output(3, Stream::Stdout, b"\xff\n".to_vec()),
            Event::Output(3, Stream::Stderr, Vec::new()),
            Event::Finished(0, Outcome::Cached, Duration::ZERO),
            Event::Finished(3, Outcome::Done, time(70)),
            Event::Finished(4, Outcome::Failed("exit code 1".into()), time(71)),
            Event::Finished(5, Outcome::Canceled, time(72)),
            Event::TaskStarted(0, "exporting".into()),
            Event::TaskFinished(0, time(5)),
            Event::Warning("careful".into()),
            Event::Summary(summary),
        ];
        Log { entries: (1..).map(time).zip(events).collect() }
    }

    #[test]
    fn decodes_what_it_encodes() {
        assert_eq!(decode(&encode(&log()).unwrap()), Some(log()));
        assert_eq!(decode(&encode(&Log::default()).unwrap()), Some(Log::default()));
    }

    /// What an older version wrote is read by a newer one.
    #[test]
    fn the_encoding_stays() {
        let started = Log { entries: vec![(Duration::from_micros(258), Event::Explained(2, "ab".into()))] };
        let mut plain = Vec::new();
        row(started.entries[0].0, &started.entries[0].1, &mut plain).unwrap();
        let expected =
            [&[1u8, 2, 1, 0, 0, 0, 0, 0, 0][..], &[2, 0, 0, 0, 0, 0, 0, 0], &[0; 8], &[2, 0, 0, 0], b"ab"].concat();
        assert_eq!(plain, expected);
    }

    #[test]
    fn damage_is_no_log() {
        let bytes = encode(&log()).unwrap();
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[VERSION + 1]), None);
        for length in 1..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
        let plain = unpack(&bytes[1..]).unwrap();
        for length in 1..plain.len() {
            let mut cut = vec![VERSION];
            cut.extend(zstd::bulk::compress(&plain[..length], 1).unwrap());
            assert_ne!(decode(&cut), Some(log()), "{length}");
        }
    }
}
