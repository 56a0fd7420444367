//! `imgbuild explore`: what each layer of an image holds, and what of it is stored in vain.

mod report;
mod screen;
mod state;
mod view;

use std::sync::Arc;

use super::{Format, json_pretty};
use crate::cli::args::values;
use crate::cli::config::Config;
use crate::cli::library::network;
use crate::cli::{Session, error};
use crate::event::Silent;
use crate::fstree::survey::Survey;
use crate::oci::Platform;
use crate::ops::{Error, ImageName, OpenedImage};
use report::{Layer, Limits, Report};
use state::{Explorer, Subject};

/// Look into the layers of an image, and for what they store in vain
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild explore app                  layers and files, on the terminal
  imgbuild explore docker-archive:theirs.tar
  imgbuild explore --ci --min-efficiency 0.95 --max-wasted 20m app
      print how much is stored in vain, and fail if that is too much
  imgbuild explore --format json app | jq .efficiency

Images are named as in the store, or by a place: oci:FOLDER, oci-archive:FILE, docker-archive:FILE, docker://NAME.
Exit codes with --ci: 0 within the limits, 1 beyond them.")]
pub struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Print figures instead, and fail beyond the limits
    #[arg(long)]
    pub ci: bool,
    /// How much of what is stored must be seen in the image [default: 0.9]
    #[arg(long, value_name = "RATIO", value_parser = ratio, requires = "ci")]
    pub min_efficiency: Option<f64>,
    /// How many bytes may be stored in vain [default: any number]
    #[arg(long, value_name = "SIZE", value_parser = values::size, requires = "ci")]
    pub max_wasted: Option<u64>,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// How to print figures
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

/// How much must be seen, unless somebody says otherwise.
const MIN_EFFICIENCY: f64 = 0.9;

/// A part of a whole: `0.95` or `95%`.
pub fn ratio(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    match number {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("a number from 0 to 1 is meant, such as 0.95, or a percentage, such as 95%".into()),
    }
}

/// Shows the image or its figures.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    let shows = !args.ci && args.format == Format::Table;
    let can_show = session.env.stdin_is_terminal() && session.env.stdout_is_terminal() && !session.env.is_dumb();
    if shows && !can_show {
        let message = "there is no terminal to explore on: use --ci for figures, or --format json";
        return Err(Error::Usage(message.into()));
    }
    let config = Config::read(session)?;
    let store = Arc::new(session.open_store()?);
    let registries = Arc::new(network::registries(session)?);
    let name: ImageName = args.image.parse().map_err(Error::Usage)?;
    let image = OpenedImage::open(&store, &registries, &name, args.platform.as_ref(), &Silent)?;
    let survey = Survey::new(&image.tables()?);
    let platform = image.image.platform();
    if shows {
        let title = format!("{name} {platform}");
        let made_by = made_by(&image);
        let mut explorer = Explorer::new(Subject { title, made_by, survey });
        let palette = view::Palette { colours: session.env.stdout_colours() };
        return screen::run(&mut explorer, palette)
            .map_err(|error| Error::environment("the terminal cannot be used").caused_by(error));
    }
    let layer = |(made_by, (descriptor, diff_id)): (String, &(crate::oci::Descriptor, crate::digest::DiffId))| Layer {
        made_by,
        diff_id: *diff_id,
        stored: descriptor.size,
    };
    let report = Report {
        name: name.to_string(),
        id: image.image.config_digest,
        platform,
        layers: made_by(&image).into_iter().zip(&image.image.layers).map(layer).collect(),
        survey: &survey,
    };
    let limits = Limits {
        min_efficiency: args.min_efficiency.or(config.explore.min_efficiency).unwrap_or(MIN_EFFICIENCY),
        max_wasted: args.max_wasted.or(config.explore.max_wasted),
    };
    session.print(match args.format {
        Format::Table => report::text(&report),
        Format::Json => json_pretty(&report::document(&report))?,
    })?;
    let beyond = limits.beyond(&survey);
    match args.ci && !beyond.is_empty() {
        true => Err(Error::build(format!("{name} stores too much in vain: {}", beyond.join(", ")))),
        false => Ok(error::OK),
    }
}

/// The instruction of each layer, bottom first. Builders that forget some forget those of the base.
fn made_by(image: &OpenedImage) -> Vec<String> {
    let made = image.image.config.history.iter().filter(|entry| !entry.empty_layer);
    let mut made: Vec<String> = made.map(|entry| entry.created_by.clone()).collect();
    let missing = image.image.layers.len().saturating_sub(made.len());
    made.splice(0..0, std::iter::repeat_n(String::new(), missing));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ratios() {
        let check = |text: &str, expected: Option<f64>| assert_eq!(ratio(text).ok(), expected, "{text}");
        check("0.95", Some(0.95));
        check("1", Some(1.0));
        check("95%", Some(0.95));
        for bad in ["95", "-1", "NaN", "", "%", "0,9"] {
            check(bad, None);
        }
    }
}
