//! Turns a panic in somebody else's code into an error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; if it panics, the panic's message goes to `crashed` and what that makes of it is the error.
///
/// `work` must not leave anything half-changed behind that is used again: a caller takes out what it changes and puts
/// it back at the end, so that a panic drops it.
pub(crate) fn guarded<T, E>(work: impl FnOnce() -> Result<T, E>, crashed: impl FnOnce(String) -> E) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(crashed(message(panic.as_ref()))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let number = 7;
        let formatted: Result<(), String> = guarded(|| panic!("number {number}"), |reason| reason);
        assert_eq!(formatted, Err("number 7".to_owned()));
        let fixed: Result<(), String> = guarded(|| panic!("plain"), |reason| reason);
        assert_eq!(fixed, Err("plain".to_owned()));
        let odd: Result<(), String> = guarded(|| std::panic::panic_any(7), |reason| reason);
        assert_eq!(odd, Err("no message".to_owned()));
        assert_eq!(guarded(|| Ok::<_, String>(1), |reason| reason), Ok(1));
    }
}
