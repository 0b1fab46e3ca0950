//! Calls into tract, which panics on some broken models. Here that is an error like any other.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use tract_onnx::prelude::{TractError, TractResult};

thread_local! {
    /// Whether this thread is in [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `work`; if it panics, the error is what it panicked with, and nothing is printed.
///
/// What `work` was changing must be thrown away after an error.
pub fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> TractResult<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                print(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(TractError::msg(format!("tract gave up: {}", text.unwrap_or("no reason"))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_reason() {
        assert_eq!(guarded(|| Ok(3)).unwrap(), 3);
        let divide = |by: u32| guarded(move || Ok(6u32.checked_div(by).expect("a divisor")));
        assert_eq!(divide(2).unwrap(), 3);
        assert!(divide(0).unwrap_err().to_string().contains("a divisor"));
    }
}
