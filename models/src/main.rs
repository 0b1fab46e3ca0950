//! Trains the models of the zoo, beside their baselines, and exports them.

use std::error::Error;

use clap::{Parser, Subcommand};
use mixel_models::{events, super_resolution, zoo};

mod commands;

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a text model with several seeds; print it beside its baselines; export every seed to ONNX.
    Train {
        /// The model.
        model: zoo::Model,
        #[command(flatten)]
        options: commands::Options,
    },
    /// The same for a model of event-camera recordings.
    TrainEvents {
        /// The model.
        model: events::zoo::Model,
        #[command(flatten)]
        options: commands::Options,
    },
    /// The same for models of pictures.
    TrainImages {
        #[command(flatten)]
        options: commands::images::Options,
    },
    /// The table of the models of pictures: accuracy in float and int8, memory and instructions on emulated boards.
    Table {
        #[command(flatten)]
        options: commands::table::Options,
    },
    /// Score the exported seeds of an event model in float and in int8.
    ScoreEvents {
        /// The model.
        model: events::zoo::Model,
        #[command(flatten)]
        options: commands::score::Options,
    },
    /// Train an event model as often as there are folds and test it on the recordings that it has not seen.
    FoldEvents {
        /// The model.
        model: events::zoo::Model,
        #[command(flatten)]
        options: commands::folds::Options,
    },
    /// Train a super-resolution model with several seeds; export every seed to ONNX.
    TrainSuperResolution {
        /// The model.
        model: super_resolution::zoo::Model,
        #[command(flatten)]
        options: commands::super_resolution::Options,
    },
    /// Train a super-resolution model with each of its parts left out, and with all, for the same number of steps.
    AblateSuperResolution {
        /// The model.
        model: super_resolution::zoo::Model,
        #[command(flatten)]
        options: commands::super_resolution::AblationOptions,
    },
    /// Score the exported super-resolution models in float and in int8, beside bicubic.
    ScoreSuperResolution {
        #[command(flatten)]
        options: commands::score_super_resolution::Options,
    },
    /// Write calibration inputs of a super-resolution model.
    Calibration {
        /// The model.
        model: super_resolution::zoo::Model,
        #[command(flatten)]
        options: commands::calibration::Options,
    },
    /// Export a super-resolution model for one size of images.
    Export {
        /// The model.
        model: super_resolution::zoo::Model,
        #[command(flatten)]
        options: commands::export::Options,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().command {
        Command::Train { model, options } => commands::text::run(model, &options),
        Command::TrainEvents { model, options } => commands::events::run(model, &options),
        Command::TrainImages { options } => commands::images::run(&options),
        Command::Table { options } => commands::table::run(&options),
        Command::ScoreEvents { model, options } => commands::score::run(model, &options),
        Command::FoldEvents { model, options } => commands::folds::run(model, &options),
        Command::TrainSuperResolution { model, options } => commands::super_resolution::run(model, &options),
        Command::AblateSuperResolution { model, options } => {
            commands::super_resolution::ablate(model, &options)
        }
        Command::ScoreSuperResolution { options } => commands::score_super_resolution::run(&options),
        Command::Calibration { model, options } => commands::calibration::run(model, &options),
        Command::Export { model, options } => commands::export::run(model, &options),
    }
}
