//! Arrays and the files that hold them: `.npz` archives of `.npy` arrays.
//!
//! Formats: NumPy enhancement proposal 1 (`.npy` 1.0 to 3.0); an `.npz` is a zip archive of them, stored or deflated.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::{Error, ErrorKind, Result};

/// An array, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Size of each dimension; empty for a scalar.
    pub dims: Vec<usize>,
    /// Elements, as many as the product of `dims`.
    pub data: ArrayData,
}

/// Elements of an array.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum ArrayData {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(Vec<u16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// The same code for each element type, with its name for people and its NumPy type without the byte order.
macro_rules! each_type {
    ($use:ident) => {
        $use! {
            F32 f32 "float32" "f4", F64 f64 "float64" "f8", I8 i8 "int8" "i1", U8 u8 "uint8" "u1",
            I16 i16 "int16" "i2", U16 u16 "uint16" "u2", I32 i32 "int32" "i4", I64 i64 "int64" "i8",
        }
    };
}

macro_rules! element_access {
    ($($variant:ident $type:ident $name:literal $code:literal,)*) => {
        impl ArrayData {
            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(data) => data.len(),)* }
            }

            /// Name of the element type.
            pub fn type_name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// The elements as float32, rounded to nearest.
            pub fn to_f32(&self) -> Vec<f32> {
                match self { $(Self::$variant(data) => data.iter().map(|&x| x as f32).collect(),)* }
            }

            /// The elements at `places`, which are below [`ArrayData::len`].
            pub fn picked(&self, places: &[usize]) -> Self {
                match self { $(Self::$variant(data) => Self::$variant(places.iter().map(|&at| data[at]).collect()),)* }
            }

            /// The elements `range`.
            fn slice(&self, range: std::ops::Range<usize>) -> Self {
                match self { $(Self::$variant(data) => Self::$variant(data[range].to_vec()),)* }
            }

            /// NumPy type code.
            fn code(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)* }
            }

            fn to_le_bytes(&self) -> Vec<u8> {
                match self {
                    $(Self::$variant(data) => data.iter().flat_map(|x| x.to_le_bytes()).collect(),)*
                }
            }

            /// Elements of NumPy type `code` from little-endian bytes.
            fn from_le_bytes(code: &str, bytes: &[u8]) -> Option<Self> {
                match code {
                    $($code => {
                        let (elements, rest) = bytes.as_chunks::<{ size_of::<$type>() }>();
                        let data = elements.iter().map(|x| $type::from_le_bytes(*x)).collect();
                        rest.is_empty().then_some(Self::$variant(data))
                    })*
                    _ => None,
                }
            }
        }
    };
}
each_type!(element_access);

impl ArrayData {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Array {
    /// An array of `dims`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if `data` does not have as many elements.
    pub fn new(dims: &[usize], data: ArrayData) -> Result<Self> {
        let elements = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        if elements != Some(data.len()) {
            let message = format!("{} elements do not fill an array of shape {dims:?}", data.len());
            return Err(Error::new(ErrorKind::Input, "", message));
        }
        Ok(Self { dims: dims.to_vec(), data })
    }

    /// Sample `index` along the first axis, with that axis kept at size 1; none if there is no such sample.
    pub fn sample(&self, index: usize) -> Option<Self> {
        let (&samples, inner) = self.dims.split_first()?;
        let size = inner.iter().product::<usize>();
        let mut dims = self.dims.clone();
        dims[0] = 1;
        (index < samples).then(|| Self { dims, data: self.data.slice(index * size..(index + 1) * size) })
    }
}

/// Reads all arrays of an `.npz` file, in the file's order, named without `.npy`.
///
/// # Errors
/// [`ErrorKind::Io`] if the file cannot be read, [`ErrorKind::Format`] if it is no `.npz`, or an array has a type or
/// order that is not handled (its name is in the error's path).
pub fn read_npz(path: &Path) -> Result<Vec<(String, Array)>> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|error| {
        Error::new(ErrorKind::Io, &shown, "cannot be opened").hint("check the path").caused_by(error)
    })?;
    read_npz_from(file, &shown)
}

/// Bytes of all arrays of an `.npz` file together at most. A few bytes of a zip archive can stand for any number of them.
const MOST_BYTES: u64 = 2 << 30;

/// Reads all arrays of an `.npz` file that is called `shown` in errors.
///
/// # Errors
/// [`ErrorKind::Format`], as [`read_npz`].
pub fn read_npz_from(file: impl Read + Seek, shown: &str) -> Result<Vec<(String, Array)>> {
    read_at_most(MOST_BYTES, file, shown)
}

/// [`read_npz_from`], for archives of at most `most` bytes when inflated.
fn read_at_most(most: u64, file: impl Read + Seek, shown: &str) -> Result<Vec<(String, Array)>> {
    let mut left = most;
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
        let hint = "write it with numpy.savez or numpy.savez_compressed";
        Error::new(ErrorKind::Format, shown, "is not a readable .npz archive").hint(hint).caused_by(error)
    };
    let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(error.into()))?;
    let mut arrays = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| broken(error.into()))?;
        let name = entry.name().map_err(|error| broken(error.into()))?.trim_end_matches(".npy").to_owned();
        let mut bytes = Vec::new();
        entry.take(left + 1).read_to_end(&mut bytes).map_err(|error| broken(error.into()))?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            let message = format!("its arrays have more than {most} bytes");
            Error::new(ErrorKind::Format, shown, message)
                .hint("give fewer samples, or several files one after the other")
        })?;
        arrays.push((name.clone(), read_npy(&bytes, &format!("{shown}[{name}]"))?));
    }
    Ok(arrays)
}

/// Writes an uncompressed `.npz` file.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn write_npz(path: &Path, arrays: &[(String, Array)]) -> Result<()> {
    let at = |error: Error| Error { path: path.display().to_string(), ..error };
    // In memory first: an archive that is dropped half written prints what it thinks of that.
    let mut file = std::io::Cursor::new(Vec::new());
    write_npz_to(&mut file, arrays).map_err(at)?;
    std::fs::write(path, file.into_inner()).map_err(|error| at(unwritable(error)))
}

/// Writes an uncompressed `.npz` file.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn write_npz_to(file: impl Write + Seek, arrays: &[(String, Array)]) -> Result<()> {
    let mut archive = zip::ZipWriter::new(file);
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, array) in arrays {
        archive.start_file(format!("{name}.npy"), options).map_err(unwritable)?;
        archive.write_all(&npy(array)).map_err(unwritable)?;
    }
    archive.finish().map_err(unwritable)?;
    Ok(())
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, "", "cannot be written")
        .hint("check that the folder exists and has space")
        .caused_by(error)
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// An array as the bytes of a `.npy` file.
fn npy(array: &Array) -> Vec<u8> {
    let dims: String = array.dims.iter().map(|dim| format!("{dim}, ")).collect();
    let order = if array.data.code().ends_with('1') { '|' } else { '<' };
    let code = array.data.code();
    let mut header = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': ({dims}), }}");
    // Data starts at a multiple of 64; the header ends in a line feed.
    let start = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64);
    while MAGIC.len() + 4 + header.len() + 1 < start {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes.extend(array.data.to_le_bytes());
    bytes
}

/// Reads the bytes of a `.npy` file.
fn read_npy(bytes: &[u8], path: &str) -> Result<Array> {
    let broken = |message: &str| Error::new(ErrorKind::Format, path, message);
    let not_npy = || broken("is not a .npy array").hint("write it with numpy.save or numpy.savez");
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(not_npy)?;
    let (header, data) = match rest {
        [1, _, a, b, rest @ ..] => rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, rest @ ..] => {
            rest.split_at_checked(u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => None,
    }
    .ok_or_else(not_npy)?;
    let header = std::str::from_utf8(header).map_err(|_| not_npy())?;
    let descr = field(header, "descr").and_then(|text| text.strip_prefix('\'')?.split('\'').next());
    let descr =
        descr.ok_or_else(|| broken("has elements of a structured type").hint("save a plain array"))?;
    if field(header, "fortran_order").ok_or_else(not_npy)?.starts_with("True") {
        return Err(broken("is in column-major order").hint("save numpy.ascontiguousarray(x)"));
    }
    let dims = field(header, "shape").and_then(|text| {
        let list = text.strip_prefix('(')?.split(')').next()?;
        let dims = list.split(',').map(str::trim).filter(|dim| !dim.is_empty());
        dims.map(|dim| dim.parse::<usize>().ok()).collect::<Option<Vec<_>>>()
    });
    let dims = dims.ok_or_else(not_npy)?;
    let code = descr.strip_prefix(['<', '|', '=']).unwrap_or(descr);
    // NumPy's bool is a byte of 0 or 1, float16 is widened.
    let elements = match code {
        "b1" => ArrayData::from_le_bytes("u1", data),
        "f2" => {
            let halves = data.as_chunks::<2>().0.iter();
            Some(ArrayData::F32(halves.map(|x| half::f16::from_le_bytes(*x).to_f32()).collect()))
        }
        _ => ArrayData::from_le_bytes(code, data),
    };
    let elements = elements.ok_or_else(|| {
        broken(&format!("has elements of type {descr}, or is cut off"))
            .hint("handled are little-endian float16/32/64, int8/16/32/64, uint8/16 and bool")
    })?;
    let hint = "the array is cut off or its header is wrong: write it again";
    Array::new(&dims, elements).map_err(|error| broken(&error.message).hint(hint))
}

/// What follows `'name':` in a `.npy` header.
fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{name}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let arrays = vec![
            (
                "x".to_owned(),
                Array::new(&[2, 3], ArrayData::F32(vec![0.5, -1.0, 2.0, 3.0, 4.0, 1e-9])).unwrap(),
            ),
            ("q".to_owned(), Array::new(&[3], ArrayData::I8(vec![-128, 0, 127])).unwrap()),
            ("scalar".to_owned(), Array::new(&[], ArrayData::I64(vec![i64::MIN])).unwrap()),
            ("none".to_owned(), Array::new(&[0, 4], ArrayData::U16(vec![])).unwrap()),
        ];
        write_npz(&path, &arrays).unwrap();
        assert_eq!(read_npz(&path).unwrap(), arrays);
        assert_eq!(arrays[0].1.sample(1).unwrap().data, ArrayData::F32(vec![3.0, 4.0, 1e-9]));
        assert_eq!(arrays[0].1.sample(2), None);
    }

    #[test]
    fn what_inflates_without_end_is_refused() {
        let mut file = std::io::Cursor::new(Vec::new());
        let array = |elements| Array::new(&[elements], ArrayData::U8(vec![0; elements])).unwrap();
        write_npz_to(&mut file, &[("a".to_owned(), array(1000)), ("b".to_owned(), array(3000))]).unwrap();
        // Each array has a header of 128 bytes.
        assert_eq!(read_at_most(4256, &mut file, "").unwrap().len(), 2);
        let error = read_at_most(4255, &mut file, "x.npz").unwrap_err();
        assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Format, "x.npz"));
        assert!(error.to_string().contains("more than 4255 bytes"), "{error}");
    }

    #[test]
    fn broken_files_say_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        assert_eq!(read_npz(&path).unwrap_err().kind, ErrorKind::Io);
        std::fs::write(&path, b"not a zip").unwrap();
        let error = read_npz(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Format);
        assert!(error.to_string().contains("numpy.savez"), "{error}");
        let array = Array::new(&[2], ArrayData::F32(vec![1.0, 2.0])).unwrap();
        let bytes = npy(&array);
        assert_eq!(read_npy(&bytes, "").unwrap(), array);
        for end in 0..bytes.len() {
            assert_eq!(read_npy(&bytes[..end], "").unwrap_err().kind, ErrorKind::Format, "cut at {end}");
        }
        let text = |from: &str, to: &str| {
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            let mut bytes = bytes.clone();
            bytes.splice(at..at + from.len(), to.bytes());
            read_npy(&bytes, "").unwrap_err().to_string()
        };
        assert!(text("False", "True ").contains("column-major"));
        assert!(text("<f4", "<U4").contains("<U4"));
        assert!(text("(2, )", "(3, )").contains("do not fill"));
    }
}
