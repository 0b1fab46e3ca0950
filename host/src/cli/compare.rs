//! `mixel compare`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::model::{ModelArgs, load};
use super::{Verdict, apart, print, print_json};
use crate::compile::Target;
use crate::device::board;
use crate::image::{
    Answer, Filter, Pictures, Rgb8, is_png, luma, psnr, read_png, resize, side_by_side, ssim, write_png,
};
use crate::report::Align::{Left, Right};
use crate::report::Table;
use crate::run::open;
use crate::validate::target_of;
use crate::{Error, ErrorKind, Result};

/// Compare an enlarged picture with the truth and with bicubic enlargement: a picture of all side by side, PSNR and SSIM
///
/// Both are measured on luma (Y of BT.601) without a border as wide as the factor, as super-resolution reports them. From left to
/// right: the low resolution, bicubic, ours, the truth.
#[derive(clap::Args)]
pub struct Args {
    /// A model or a plan that enlarges pictures, to be run on the low resolution
    #[arg(value_name = "FILE", conflicts_with = "ours", required_unless_present = "ours")]
    file: Option<PathBuf>,
    /// What the enlarged picture should be; it is cut to a multiple of the factor. Of a truth larger than the model's output
    /// the middle is compared
    #[arg(long, value_name = "HR.png")]
    truth: PathBuf,
    /// The low resolution; without this it is made of the truth by bicubic reduction
    #[arg(long, value_name = "LR.png", required_unless_present = "file")]
    low: Option<PathBuf>,
    /// An enlarged picture, instead of a model
    #[arg(long, value_name = "SR.png")]
    ours: Option<PathBuf>,
    /// The picture to write
    #[arg(short, long, value_name = "SIDE.png")]
    output: Option<PathBuf>,
    /// Run on this board instead of this machine
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
}

/// Factors by which pictures are enlarged.
const FACTORS: std::ops::RangeInclusive<usize> = 2..=8;

/// Pictures of one comparison; all but the low one have the same size.
struct Compared {
    factor: usize,
    low: Rgb8,
    ours: Rgb8,
    truth: Rgb8,
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    if let Some(output) = &args.output {
        if !is_png(output) {
            let message = "is not called like a PNG file, which is what is written";
            return Err(Error::new(ErrorKind::Usage, "--output", message).hint("end it in .png"));
        }
        let inputs = args.file.iter().chain([&args.truth]).chain(&args.low).chain(&args.ours);
        inputs.into_iter().try_for_each(|input| apart(output, input))?;
    }
    let truth = read_png(&args.truth)?;
    let low = args.low.as_deref().map(read_png).transpose()?;
    let compared = match (&args.file, &args.ours, low) {
        (Some(file), ..) if args.ours.is_none() => by_model(args, file, truth, args.low.as_deref())?,
        (_, Some(ours), Some(low)) => given(args, ours, truth, low)?,
        _ => {
            return Err(Error::new(ErrorKind::Usage, "", "nothing to compare")
                .hint("give a model, or --low LR.png and --ours SR.png"));
        }
    };
    report(&compared, args.output.as_deref(), json)
}

/// An enlarged picture from a file.
fn given(args: &Args, ours: &Path, truth: Rgb8, low: Rgb8) -> Result<Compared> {
    let factor = factor(&args.truth, &truth, &low)?;
    let truth = truth.cut_to_multiple(factor)?;
    let name = ours.display().to_string();
    let ours = read_png(ours)?;
    if (ours.width(), ours.height()) != (truth.width(), truth.height()) {
        let message = format!("has {} pixels, not {} as the truth", size(&ours), size(&truth));
        return Err(Error::new(ErrorKind::Input, name, message)
            .hint(format!("give a picture {factor} times as large as the low resolution")));
    }
    Ok(Compared { factor, low, ours, truth })
}

/// What the model in `file` makes of the low resolution.
fn by_model(args: &Args, file: &Path, truth: Rgb8, low: Option<&Path>) -> Result<Compared> {
    let board = args.board.as_deref().map(board).transpose()?;
    let bytes = load(file, &args.model, board.map_or(Ok(Target::Generic), target_of)?)?;
    let plan = open(&bytes, &file.display().to_string())?;
    let model = Pictures::of(&plan)?;
    let name = args.truth.display().to_string();
    let enlarges = model.output.and_then(|output| {
        let factor = output.width / model.input.width;
        let exact =
            (output.width, output.height) == (factor * model.input.width, factor * model.input.height);
        Some((factor, output)).filter(|_| exact && FACTORS.contains(&factor))
    });
    let Some((factor, output)) = enlarges else {
        return Err(Error::new(ErrorKind::Input, file.display().to_string(), "does not enlarge pictures")
            .hint("give a model whose output is a picture 2 to 8 times as large as its input"));
    };
    let (width, height) = (output.width, output.height);
    if truth.width() < width || truth.height() < height {
        let message = format!("has {} pixels, the model makes {width}x{height}", size(&truth));
        return Err(Error::new(ErrorKind::Input, name, message)
            .hint("give a larger truth, or compile the model for a smaller size"));
    }
    let whole = truth.cut_to_multiple(factor)?;
    let low = match low {
        Some(path) => {
            let low = read_png(path)?;
            self::factor(&args.truth, &whole, &low).and_then(|found| {
                if found == factor {
                    return Ok(low);
                }
                let message = format!(
                    "has {} pixels, the truth is {found} times as large, the model's output {factor} times",
                    size(&low)
                );
                Err(Error::new(ErrorKind::Input, path.display().to_string(), message)
                    .hint("give the low resolution for this model, or none"))
            })?
        }
        None => resize(&whole, whole.width() / factor, whole.height() / factor, Filter::Bicubic)?,
    };
    // The middle, on the grid of the low resolution, whose borders then have neighbours from the picture.
    let middle = |all: usize, part: usize| (all - part) / 2;
    let (left, top) = (middle(low.width(), model.input.width), middle(low.height(), model.input.height));
    let low = low.crop(left, top, model.input.width, model.input.height)?;
    let truth = whole.crop(factor * left, factor * top, width, height)?;
    if (whole.width(), whole.height()) != (width, height) {
        eprintln!("note: {name}: the middle {width}x{height} of {} pixels is compared", size(&whole));
    }
    match model.answer(plan, &low, board)? {
        Answer::Picture(ours) => Ok(Compared { factor, low, ours, truth }),
        Answer::Scores(_) => Err(Error::new(ErrorKind::Internal, "", "scores where a picture is expected")),
    }
}

/// How many times `truth` is as large as `low`.
fn factor(path: &Path, truth: &Rgb8, low: &Rgb8) -> Result<usize> {
    let factor = truth.width() / low.width();
    let fits = truth.width() / factor.max(1) == low.width() && truth.height() / factor.max(1) == low.height();
    if fits && FACTORS.contains(&factor) {
        return Ok(factor);
    }
    let message = format!("has {} pixels, the low resolution {}", size(truth), size(low));
    Err(Error::new(ErrorKind::Input, path.display().to_string(), message)
        .hint("the truth must be 2 to 8 times as large as the low resolution, in both directions, but for a rest at its edges"))
}

fn size(picture: &Rgb8) -> String {
    format!("{}x{}", picture.width(), picture.height())
}

/// A picture that is measured against the truth.
struct Measured {
    name: &'static str,
    psnr: f64,
    ssim: f64,
}

fn report(compared: &Compared, output: Option<&Path>, json: bool) -> Result<Verdict> {
    let Compared { factor, low, ours, truth } = compared;
    let enlarged = |filter| resize(low, truth.width(), truth.height(), filter);
    let (nearest, bicubic) = (enlarged(Filter::Nearest)?, enlarged(Filter::Bicubic)?);
    let inner = |picture| luma(picture).without_border(*factor);
    let reference = inner(truth)?;
    let measure = |name, picture| -> Result<Measured> {
        let picture = inner(picture)?;
        Ok(Measured { name, psnr: psnr(&picture, &reference)?, ssim: ssim(&picture, &reference)? })
    };
    let all = [measure("low resolution", &nearest)?, measure("bicubic", &bicubic)?, measure("ours", ours)?];
    if let Some(path) = output {
        // Equal pictures have no figure.
        let caption = |name: &str, index: usize| match finite(all[index].psnr) {
            Some(psnr) => format!("{name} {psnr:.2} DB"),
            None => name.to_owned(),
        };
        let panels = [
            (format!("LOW {}", size(low).to_uppercase()), &nearest),
            (caption("BICUBIC", 1), &bicubic),
            (caption("OURS", 2), ours),
            (format!("TRUTH {}", size(truth).to_uppercase()), truth),
        ];
        write_png(path, &side_by_side(&panels)?)?;
    }
    if json {
        let figures: Vec<Value> = all
            .iter()
            .map(|it| json!({ "picture": it.name, "psnr_y_db": finite(it.psnr), "ssim_y": it.ssim }))
            .collect();
        print_json(&json!({
            "factor": factor,
            "border": factor,
            "width": truth.width(),
            "height": truth.height(),
            "figures": figures,
            "output": output.map(|path| path.display().to_string()),
        }))?;
    } else {
        let mut table = Table::new(&[("picture", Left), ("PSNR Y dB", Right), ("SSIM Y", Right)]);
        for Measured { name, psnr, ssim } in &all {
            table.row([(*name).to_owned(), format!("{psnr:.2}"), format!("{ssim:.4}")]);
        }
        print(&table.to_string())?;
        if let Some(path) = output {
            eprintln!("{}: low resolution, bicubic, ours, truth", path.display());
        }
    }
    Ok(Verdict::Good)
}

/// JSON has no infinity, which is what equal pictures have.
fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}
