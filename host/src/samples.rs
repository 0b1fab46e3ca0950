//! Named arrays and texts as inputs of a model, and outputs as named arrays.
//!
//! Arrays go by the names of the model's inputs, with a leading axis of samples in the place of the batch. In a model
//! with one input the name `input` always means that one. Real numbers are quantized as the input states; integers of
//! the input's own type are taken as they are.

use mixel_core::plan::{DType, Direction, FrontEnd, Interface, RawPlan, Rows, Tensor};
use mixel_core::text::{ABSENT, TextFrontEnd};

use crate::arrays::{Array, ArrayData};
use crate::device::Sample;
use crate::graph::Quantization;
use crate::quantize::{dequantize_value, quantize_value};
use crate::{Error, ErrorKind, Result};

/// The input of one inference, as the user gave it.
#[derive(Clone, Debug, PartialEq)]
pub enum Case {
    /// One array for each input of the model, in its order, with a batch axis of 1.
    Arrays(Vec<Array>),
    /// A sentence for the text front end.
    Text(String),
}

/// The arrays for the inputs called `names`, sample by sample.
///
/// # Errors
/// [`ErrorKind::Input`] when an array is missing or their numbers of samples differ.
pub fn cases(names: &[String], arrays: &[(String, Array)]) -> Result<Vec<Case>> {
    let find = |name: &String| {
        let alias = |given: &str| given == name || names.len() == 1 && given == "input";
        arrays
            .iter()
            .find(|(given, _)| given == name)
            .or_else(|| arrays.iter().find(|(given, _)| alias(given)))
    };
    let chosen: Vec<&Array> = names
        .iter()
        .map(|name| {
            let missing = || {
                let given: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
                Error::new(ErrorKind::Input, name, "there is no array for this input").hint(format!(
                    "the model takes `{}`, the file holds `{}`; name the arrays as the model names its inputs",
                    names.join("`, `"),
                    given.join("`, `")
                ))
            };
            find(name).map(|(_, array)| array).ok_or_else(missing)
        })
        .collect::<Result<_>>()?;
    let count = chosen.first().and_then(|array| array.dims.first()).copied().unwrap_or(0);
    for (name, array) in names.iter().zip(&chosen) {
        if array.dims.first() != Some(&count) || count == 0 {
            let message = format!("an array of shape {:?} where {count} samples are expected", array.dims);
            return Err(Error::new(ErrorKind::Input, name, message)
                .hint("the first axis of every input counts the samples"));
        }
    }
    Ok((0..count)
        .map(|index| Case::Arrays(chosen.iter().filter_map(|array| array.sample(index)).collect()))
        .collect())
}

/// Names of the inputs of `plan`.
pub fn input_names(plan: &RawPlan<'_>) -> Vec<String> {
    plan.inputs().map(|port| port.name().to_owned()).collect()
}

/// `case` as the tensors of `plan`.
///
/// # Errors
/// [`ErrorKind::Input`] with the input's name when shape or type do not fit, or for text when the plan takes none.
pub fn sample(plan: &RawPlan<'_>, case: &Case) -> Result<Sample> {
    let arrays = match case {
        Case::Text(text) if matches!(plan.front_end(), FrontEnd::Text { .. }) => {
            return Ok(Sample::Text(text.clone()));
        }
        Case::Text(_) => {
            return Err(Error::new(ErrorKind::Input, "--text", "this model takes no text")
                .hint("give its inputs as arrays: --input IN.npz"));
        }
        Case::Arrays(arrays) => arrays,
    };
    let mut rows = None;
    let inputs = plan.inputs().zip(arrays).map(|(port, array)| {
        let tensor =
            plan.port_tensor(&port).map_err(|_| Error::new(ErrorKind::Plan, port.name(), "no tensor"))?;
        let turned = if port.channels_first { channels_last(array) } else { None };
        let array = turned.as_ref().unwrap_or(array);
        let present = fit(port.name(), &tensor, plan.max_rows(), &array.dims)?;
        if let (Some(present), Some(earlier)) = (present, rows)
            && present != earlier
        {
            let message = format!("{present} rows, while another input has {earlier}");
            return Err(
                Error::new(ErrorKind::Input, port.name(), message).hint("give all inputs as many rows")
            );
        }
        rows = rows.or(present);
        let integers = integers(port.name(), &tensor, port.interface, &array.data)?;
        Ok(at_bound(&tensor, &integers, rows_of(plan, present)))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Ok(Sample::Tensors { rows: rows.map(|rows| rows as u32), inputs })
}

/// Images `[n, c, h, w]` as `[n, h, w, c]`; none for other shapes.
fn channels_last(array: &Array) -> Option<Array> {
    let [images, channels, height, width] = array.dims[..] else { return None };
    let pixels = height * width;
    let order: Vec<usize> = (0..images * pixels * channels)
        .map(|at| {
            let (image, at) = (at / (pixels * channels), at % (pixels * channels));
            image * pixels * channels + at % channels * pixels + at / channels
        })
        .collect();
    Array::new(&[images, height, width, channels], array.data.picked(&order)).ok()
}

/// What tensors of `plan` have when `present` rows are there; none means all.
fn rows_of(plan: &RawPlan<'_>, present: Option<usize>) -> Rows {
    present.map_or(Rows::ALL, |present| Rows::new(present, plan.max_rows()))
}

/// Rows present when an array of `dims` (with a batch axis of 1) is one sample of `tensor` in a plan for at most
/// `max_rows` rows; none for a static shape.
fn fit(name: &str, tensor: &Tensor, max_rows: usize, dims: &[usize]) -> Result<Option<usize>> {
    let wanted = model_dims(tensor);
    let dynamic: Vec<bool> =
        (4 - tensor.rank as usize..4).map(|axis| tensor.dynamic >> axis & 1 == 1).collect();
    // A model without a batch axis has the sample axis in front of its own.
    let own = if dims.len() == wanted.len() + 1 { &dims[1..] } else { dims };
    let mut rows = None;
    let fits = own.len() == wanted.len()
        && own.iter().zip(&wanted).zip(&dynamic).all(|((&dim, &bound), &dynamic)| {
            // What the bound has beyond the rows is always there.
            let present = (dim + max_rows).checked_sub(bound).filter(|_| dynamic);
            rows = rows.or(present);
            dim == bound || dim <= bound && present.is_some() && rows == present
        });
    if fits {
        return Ok(rows);
    }
    let show = |dims: &[usize]| dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let behind = if wanted.first() == Some(&1) && wanted.len() > 1 { &wanted[1..] } else { &wanted[..] };
    let bound = if rows.is_some() { " at most" } else { "" };
    let message = format!("a sample has shape {}, the model takes {}{bound}", show(&dims[1..]), show(behind));
    Err(Error::new(ErrorKind::Input, name, message)
        .hint(format!("give an array of shape [samples, {}]", show(behind).replace('x', ", "))))
}

/// The model's own shape, batch of 1 included.
fn model_dims(tensor: &Tensor) -> Vec<usize> {
    tensor.dims[4 - tensor.rank as usize..].iter().map(|&dim| dim as usize).collect()
}

/// How `tensor` stands for real numbers.
pub fn quantization(tensor: &Tensor) -> Quantization {
    Quantization { scale: tensor.scale, zero_point: tensor.zero_point, dtype: tensor.dtype }
}

fn integers(name: &str, tensor: &Tensor, interface: Interface, data: &ArrayData) -> Result<Vec<i32>> {
    let quantized = matches!(tensor.dtype, DType::I8 | DType::I16);
    let real = |x: f64| quantize_value(x, &quantization(tensor));
    let shifted = interface == Interface::Unsigned;
    let broken = match data {
        ArrayData::F32(data) => data.iter().any(|x| x.is_nan()),
        ArrayData::F64(data) => data.iter().any(|x| x.is_nan()),
        _ => false,
    };
    if broken {
        return Err(Error::new(
            ErrorKind::Input,
            name,
            "some elements are NaN, for which there is no integer",
        )
        .hint("replace them: numpy.nan_to_num(x)"));
    }
    Ok(match (data, tensor.dtype) {
        (ArrayData::F32(data), _) if quantized => data.iter().map(|&x| real(x as f64)).collect(),
        (ArrayData::F64(data), _) if quantized => data.iter().map(|&x| real(x)).collect(),
        (ArrayData::I8(data), DType::I8) if !shifted => data.iter().map(|&q| q.into()).collect(),
        (ArrayData::I16(data), DType::I16) if !shifted => data.iter().map(|&q| q.into()).collect(),
        (ArrayData::U8(data), DType::I8) if shifted => data.iter().map(|&q| i32::from(q) - 128).collect(),
        (ArrayData::U16(data), DType::I16) if shifted => data.iter().map(|&q| i32::from(q) - 32768).collect(),
        (ArrayData::U8(data), DType::U8) => data.iter().map(|&q| q.into()).collect(),
        (ArrayData::U16(data), DType::U16) => data.iter().map(|&q| q.into()).collect(),
        (ArrayData::I32(data), DType::I32) => data.clone(),
        // Indices, which ONNX has in 64 bits.
        (ArrayData::I64(data), DType::U16) if data.iter().all(|&index| u16::try_from(index).is_ok()) => {
            data.iter().map(|&index| index as i32).collect()
        }
        _ => {
            let own = type_name(tensor.dtype, shifted);
            let takes = if quantized { format!("float32 or {own}") } else { own.to_owned() };
            let message = format!("an array of {}, the model takes {takes}", data.type_name());
            let hint = if tensor.dtype == DType::U16 {
                "these are fingerprint bins: give text instead, with --text or --text-file".to_owned()
            } else {
                format!("convert it: x.astype(numpy.{})", if quantized { "float32" } else { own })
            };
            return Err(Error::new(ErrorKind::Input, name, message).hint(hint));
        }
    })
}

/// NumPy's name of the type that the model has where the plan has `dtype`.
pub fn type_name(dtype: DType, unsigned: bool) -> &'static str {
    match (dtype, unsigned) {
        (DType::I8, false) => "int8",
        (DType::I16, false) => "int16",
        (DType::I8, true) | (DType::U8, _) => "uint8",
        (DType::I16, true) | (DType::U16, _) => "uint16",
        (DType::I32, _) => "int32",
    }
}

/// Little-endian bytes of the whole tensor with `integers` in the rows present and zeros in the others.
fn at_bound(tensor: &Tensor, integers: &[i32], rows: Rows) -> Vec<u8> {
    let size = tensor.dtype.size();
    let mut bytes: Vec<u8> = std::iter::repeat_n(tensor.zero_point, tensor.elements())
        .flat_map(|zero| zero.to_le_bytes().into_iter().take(size))
        .collect();
    for (place, integer) in places(tensor, rows).zip(integers) {
        bytes[place * size..][..size].copy_from_slice(&integer.to_le_bytes()[..size]);
    }
    bytes
}

/// Positions, in the tensor at its bound, of the elements that are present.
fn places(tensor: &Tensor, rows: Rows) -> impl Iterator<Item = usize> {
    let bounds = tensor.dims.map(|dim| dim as usize);
    let dims = tensor.dims_with(rows);
    (0..dims.iter().product::<usize>()).map(move |mut index| {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..4).rev() {
            place += index % dims[axis] * stride;
            index /= dims[axis];
            stride *= bounds[axis];
        }
        place
    })
}

/// The integers of a tensor from its little-endian bytes.
pub fn elements(dtype: DType, bytes: &[u8]) -> Vec<i32> {
    match dtype {
        DType::I8 => bytes.iter().map(|&byte| (byte as i8).into()).collect(),
        DType::U8 => bytes.iter().map(|&byte| byte.into()).collect(),
        DType::I16 => bytes.as_chunks().0.iter().map(|&two| i16::from_le_bytes(two).into()).collect(),
        DType::U16 => bytes.as_chunks().0.iter().map(|&two| u16::from_le_bytes(two).into()).collect(),
        DType::I32 => bytes.as_chunks().0.iter().map(|&four| i32::from_le_bytes(four)).collect(),
    }
}

/// The real values of a tensor from its little-endian bytes.
pub fn reals(tensor: &Tensor, bytes: &[u8]) -> Vec<f32> {
    let quantization = quantization(tensor);
    elements(tensor.dtype, bytes).into_iter().map(|q| dequantize_value(q, &quantization) as f32).collect()
}

/// `outputs` (sample by sample, each output's bytes) as arrays by the names of the plan's outputs: real numbers where the
/// model gives these, the model's integers otherwise, or with `raw` the integers of the plan in any case.
///
/// `rows` are those present in each sample; where they differ, shorter samples end in zeros.
pub fn output_arrays(
    plan: &RawPlan<'_>,
    outputs: &[Vec<Vec<u8>>],
    rows: &[Option<usize>],
    raw: bool,
) -> Result<Vec<(String, Array)>> {
    let most = rows.iter().copied().max().flatten();
    let ports = plan.outputs().enumerate();
    ports
        .map(|(index, port)| {
            let tensor =
                plan.port_tensor(&port).map_err(|_| Error::new(ErrorKind::Plan, port.name(), "no tensor"))?;
            let mut all = Vec::new();
            for (output, &present) in outputs.iter().zip(rows) {
                let mut integers = elements(tensor.dtype, &output[index]);
                if tensor.dynamic != 0 && present.is_some() {
                    let mut kept = vec![tensor.zero_point; integers.len()];
                    let places = places(&tensor, rows_of(plan, present));
                    places.for_each(|place| kept[place] = integers[place]);
                    integers = kept;
                }
                all.extend(places(&tensor, rows_of(plan, most)).map(|place| integers[place]));
            }
            let mut dims: Vec<usize> = tensor.dims_with(rows_of(plan, most)).to_vec();
            dims.drain(..4 - tensor.rank as usize);
            match dims.first_mut() {
                Some(batch) if *batch == 1 && tensor.rank > 1 => *batch = outputs.len(),
                _ => dims.insert(0, outputs.len()),
            }
            let interface = if raw { Interface::Integers } else { port.interface };
            if port.channels_first && dims.len() == 4 {
                let [samples, height, width, channels] = [dims[0], dims[1], dims[2], dims[3]];
                let place = |at: usize| {
                    let (image, at) = (at / (height * width * channels), at % (height * width * channels));
                    image * height * width * channels
                        + at % (height * width) * channels
                        + at / (height * width)
                };
                all = (0..all.len()).map(|at| all[place(at)]).collect();
                dims = vec![samples, channels, height, width];
            }
            Ok((port.name().to_owned(), Array::new(&dims, present(&tensor, interface, &all))?))
        })
        .collect()
}

/// Integers of `tensor` as the model's own type.
fn present(tensor: &Tensor, interface: Interface, integers: &[i32]) -> ArrayData {
    let all = || integers.iter().copied();
    match (interface, tensor.dtype) {
        (Interface::Reals, DType::I8 | DType::I16) => {
            let quantization = quantization(tensor);
            ArrayData::F32(all().map(|q| dequantize_value(q, &quantization) as f32).collect())
        }
        (Interface::Unsigned, DType::I8) => ArrayData::U8(all().map(|q| (q + 128) as u8).collect()),
        (Interface::Unsigned, DType::I16) => ArrayData::U16(all().map(|q| (q + 32768) as u16).collect()),
        (_, DType::I8) => ArrayData::I8(all().map(|q| q as i8).collect()),
        (_, DType::I16) => ArrayData::I16(all().map(|q| q as i16).collect()),
        (_, DType::U8) => ArrayData::U8(all().map(|q| q as u8).collect()),
        (_, DType::U16) => ArrayData::U16(all().map(|q| q as u16).collect()),
        (_, DType::I32) => ArrayData::I32(all().collect()),
    }
}

/// `case` as inputs of the float model, in its order: arrays of the model's own types, text as dense features.
///
/// `interfaces` and tensors are those of `plan`, which was compiled from the model.
///
/// # Errors
/// As [`sample`].
pub fn reference_inputs(plan: &RawPlan<'_>, case: &Case) -> Result<Vec<Array>> {
    let text = match plan.front_end() {
        FrontEnd::Text { text, .. } => Some(text),
        FrontEnd::None | FrontEnd::Events(_) | FrontEnd::Image(_) => None,
    };
    match (case, text) {
        (Case::Text(sentence), Some(front_end)) => Ok(vec![features_of_text(&front_end, sentence)?]),
        (Case::Text(_), None) => sample(plan, case).map(|_| Vec::new()),
        (Case::Arrays(arrays), Some(front_end)) => {
            arrays.iter().map(|array| features_of_bins(&front_end, array)).collect()
        }
        (Case::Arrays(arrays), None) => plan
            .inputs()
            .zip(arrays)
            .map(|(port, array)| {
                let tensor = plan
                    .port_tensor(&port)
                    .map_err(|_| Error::new(ErrorKind::Plan, port.name(), "no tensor"))?;
                fit(port.name(), &tensor, plan.max_rows(), &array.dims)?;
                let data = if port.interface == Interface::Reals && matches!(array.data, ArrayData::F32(_)) {
                    array.data.clone()
                } else {
                    present(
                        &tensor,
                        port.interface,
                        &integers(port.name(), &tensor, port.interface, &array.data)?,
                    )
                };
                let mut dims = array.dims.clone();
                dims.drain(..dims.len() - tensor.rank as usize);
                Array::new(&dims, data)
            })
            .collect(),
    }
}

/// Dense features `[1, length, slots * m]` of a sentence.
///
/// # Errors
/// [`ErrorKind::Internal`] only.
pub fn features_of_text(front_end: &TextFrontEnd, sentence: &str) -> Result<Array> {
    let mut bins = vec![0; front_end.bins_len()];
    let words = front_end.encode(sentence.as_bytes(), &mut bins).map_err(internal)?;
    features(front_end, &bins, words.present)
}

fn features_of_bins(front_end: &TextFrontEnd, array: &Array) -> Result<Array> {
    let ArrayData::U16(bins) = &array.data else { return Ok(array.clone()) };
    let present = bins.chunks(front_end.n()).take_while(|row| row.first() != Some(&ABSENT)).count();
    features(front_end, bins, present)
}

fn features(front_end: &TextFrontEnd, bins: &[u16], present: usize) -> Result<Array> {
    let mut features = vec![0.0; front_end.features_len()];
    front_end.features(bins, present, &mut features).map_err(internal)?;
    let dims = [1, front_end.length(), front_end.slots() * front_end.m()];
    Array::new(&dims, ArrayData::F32(features))
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "", "the text front end does not take its own bins").caused_by(error)
}

/// Whether `direction` ports of `plan` are real numbers in the model.
pub fn is_real(plan: &RawPlan<'_>, direction: Direction) -> bool {
    plan.ports().any(|port| port.direction == direction && port.interface == Interface::Reals)
}
