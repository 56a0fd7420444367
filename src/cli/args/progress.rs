//! How a command shows what happens: for all that may take a while.

use clap::{Args, ValueEnum};

/// What is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Progress")]
pub struct ProgressArgs {
    /// How to show what happens
    #[arg(long, value_enum, value_name = "STYLE", default_value_t = ProgressStyle::Auto, hide_default_value = true)]
    #[arg(env = "BUILDKIT_PROGRESS", hide_env_values = true)]
    pub progress: ProgressStyle,
    /// Show nothing but errors; print what was made
    #[arg(short, long)]
    pub quiet: bool,
}

/// How to show what happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// tty if stderr is a terminal, else plain
    #[default]
    Auto,
    /// A log
    Plain,
    /// A live display
    Tty,
    /// One JSON object on each line
    #[value(alias = "rawjson")]
    Json,
    /// Nothing
    #[value(alias = "none")]
    Quiet,
}
