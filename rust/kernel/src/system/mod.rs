//! What the machine and the caller allow: memory, threads, questions whether to stop; how faults are told.

pub mod error;
pub mod memory;
pub mod pools;
pub mod random;
pub mod stop_check;
pub mod threads;
