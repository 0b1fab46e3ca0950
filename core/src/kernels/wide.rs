//! Kernels for int8 and, as kinds of their own that int8 firmware does not link, for 16-bit input or output.

use crate::plan::{DType, Fault, Operator};

/// Types of the first input and the output, which are int8 or int16 and not both int8.
pub(super) fn types(operator: &Operator<'_>) -> Result<(DType, DType), Fault> {
    match (operator.input(0)?.dtype, operator.output(0)?.dtype) {
        types @ ((DType::I8, DType::I16) | (DType::I16, DType::I8) | (DType::I16, DType::I16)) => Ok(types),
        _ => Err(Fault::Types),
    }
}

/// Implements [`super::Kernel`] for an operator on int8 from the functions of the module that calls it: `check::<Y>`, `reach`,
/// `macs` and `run::<X, Y>`, with `X` the input's and `Y` the output's element, and the scratch bytes. All but `macs` take the
/// form of the weights too, where one is given.
macro_rules! narrow {
    ($name:ident, $scratch:expr $(; $weights:ty)?) => {
        impl super::Kernel for $name {
            const KIND: super::OpKind = super::OpKind::$name;

            fn check(operator: &Operator<'_>) -> Result<(), Fault> {
                match (operator.input(0)?.dtype, operator.output(0)?.dtype) {
                    (DType::I8, DType::I8) => check::<i8 $(, $weights)?>(operator),
                    _ => Err(Fault::Types),
                }
            }

            fn scratch(operator: &Operator<'_>) -> usize {
                $scratch(operator)
            }

            fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
                reach$(::<$weights>)?(operator, input)
            }

            fn macs(operator: &Operator<'_>) -> u64 {
                macs(operator)
            }

            fn run(run: &super::Run<'_>) {
                self::run::<i8, i8 $(, $weights)?>(run);
            }
        }
    };
}

/// As `narrow!`, for an operator and its 16-bit variant, with the scratch bytes for int8 and int16 input.
macro_rules! narrow_and_wide {
    ($narrow:ident, $wide:ident, $scratch8:expr, $scratch16:expr $(; $weights:ty)?) => {
        super::wide::narrow!($narrow, $scratch8 $(; $weights)?);

        impl super::Kernel for $wide {
            const KIND: super::OpKind = super::OpKind::$wide;

            fn check(operator: &Operator<'_>) -> Result<(), Fault> {
                match super::wide::types(operator)? {
                    (_, DType::I8) => check::<i8 $(, $weights)?>(operator),
                    _ => check::<i16 $(, $weights)?>(operator),
                }
            }

            fn scratch(operator: &Operator<'_>) -> usize {
                match operator.input(0).map(|input| input.dtype) {
                    Ok(DType::I8) => $scratch8(operator),
                    _ => $scratch16(operator),
                }
            }

            fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
                reach$(::<$weights>)?(operator, input)
            }

            fn macs(operator: &Operator<'_>) -> u64 {
                macs(operator)
            }

            fn run(run: &super::Run<'_>) {
                match super::wide::types(run.operator()) {
                    Ok((DType::I8, _)) => self::run::<i8, i16 $(, $weights)?>(run),
                    Ok((_, DType::I8)) => self::run::<i16, i8 $(, $weights)?>(run),
                    _ => self::run::<i16, i16 $(, $weights)?>(run),
                }
            }
        }
    };
}

/// As `narrow!`, for a kernel of the kind of another one that is without the common ways, and what tells the operators that it takes.
macro_rules! lean {
    ($name:ident, $kind:ident, $scratch:expr, $lean:expr; $weights:ty) => {
        impl super::Kernel for $name {
            const KIND: super::OpKind = super::OpKind::$kind;

            fn check(operator: &Operator<'_>) -> Result<(), Fault> {
                match (operator.input(0)?.dtype, operator.output(0)?.dtype) {
                    (DType::I8, DType::I8) => check::<i8, $weights>(operator)?,
                    _ => return Err(Fault::Types),
                }
                if $lean(operator) { Ok(()) } else { Err(Fault::Lean) }
            }

            fn scratch(operator: &Operator<'_>) -> usize {
                $scratch(operator)
            }

            fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
                reach::<$weights>(operator, input)
            }

            fn macs(operator: &Operator<'_>) -> u64 {
                macs(operator)
            }

            fn run(run: &super::Run<'_>) {
                self::run::<i8, i8, $weights>(run);
            }
        }
    };
}

pub(super) use {lean, narrow, narrow_and_wide};
