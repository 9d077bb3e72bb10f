//! What can go wrong: misuse, told before any work, and clusters that diverge, told with their numbers.

/// Misuse of the kernel, an interruption, or clusters that diverged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// An array has another length than its meaning asks for.
    #[error("{what} has {got} elements, needs {needed}")]
    Length {
        /// The argument.
        what: &'static str,
        /// Elements given.
        got: usize,
        /// Elements needed.
        needed: usize,
    },
    /// An array holds a NaN or an infinity.
    #[error("{what} has a non-finite value ({value}) at index {index}")]
    NotFinite {
        /// The argument.
        what: &'static str,
        /// Flat index of the first bad element.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// A number is outside its range.
    #[error("{what} must be {needed}, got {got}")]
    Range {
        /// The argument.
        what: &'static str,
        /// The value given.
        got: f64,
        /// What it must be.
        needed: &'static str,
    },
    /// Cluster offsets that do not rise from 0 to the number of rows.
    #[error("offsets must rise strictly from 0 to {rows} rows: offsets[{index}] is {got}")]
    Offsets {
        /// First index at fault.
        index: usize,
        /// The offset there.
        got: usize,
        /// Rows given.
        rows: usize,
    },
    /// A cluster whose weights sum to nothing, or whose query or support rows are missing.
    #[error("cluster {cluster} has no {what}")]
    EmptyCluster {
        /// Its index.
        cluster: usize,
        /// What is missing.
        what: &'static str,
    },
    /// A name that is none of the known ones.
    #[error("unknown {what} {got:?}; known are {known}")]
    Name {
        /// The argument.
        what: &'static str,
        /// The name given.
        got: String,
        /// The names that exist.
        known: String,
    },
    /// A size whose product overflows the address space.
    #[error("{what} is too large for this machine")]
    Overflow {
        /// The size at fault.
        what: &'static str,
    },
    /// Memory that is not to be had.
    #[error("not enough memory: {bytes} bytes are needed for {what}")]
    Memory {
        /// What it is needed for.
        what: &'static str,
        /// How much of it.
        bytes: usize,
    },
    /// A count beyond what makes sense.
    #[error("{what} is {got}; at most {most} is possible")]
    Limit {
        /// The argument.
        what: &'static str,
        /// What was asked for.
        got: String,
        /// The limit.
        most: usize,
    },
    /// A result that is too large for the numbers it is made of.
    #[error("{what} is not finite: {value} at index {index}; theta, the data or the weights are too large")]
    Overflowed {
        /// The result.
        what: &'static str,
        /// Flat index of the first such number.
        index: usize,
        /// What became of it.
        value: f64,
    },
    /// At least one cluster's loss stopped being finite.
    #[error(
        "{n_diverged} of {n_clusters} clusters diverged; the first is cluster {cluster}, at inner step {step}, with loss {loss}"
    )]
    Diverged {
        /// Index of the first such cluster.
        cluster: usize,
        /// The inner step at which its loss was not finite.
        step: usize,
        /// That loss.
        loss: f64,
        /// How many diverged.
        n_diverged: usize,
        /// How many there are.
        n_clusters: usize,
    },
    /// An index beyond the rows.
    #[error("row {index} is not one of the {n_rows} rows")]
    Row {
        /// The index.
        index: i64,
        /// Rows there are.
        n_rows: usize,
    },
    /// A cluster's precision that cannot be one.
    #[error("the precision of cluster {cluster} {fault}")]
    Precision {
        /// The cluster's index.
        cluster: usize,
        /// What is wrong with it.
        fault: String,
    },
    /// A term's matrix that is not symmetric positive semidefinite.
    #[error(
        "matrices[{matrix}] is not symmetric positive semidefinite: scaled to a unit diagonal it has the pivot {pivot}"
    )]
    NotSemidefinite {
        /// Its index.
        matrix: usize,
        /// A negative number.
        pivot: f64,
    },
    /// A cluster's covariance that is not positive definite to rounding.
    #[error(
        "the covariance of cluster {cluster} ({n_rows} rows) is not positive definite to rounding: pivot {pivot}; the noise is too small beside the effects"
    )]
    NotDefinite {
        /// Its index.
        cluster: usize,
        /// Its rows.
        n_rows: usize,
        /// The pivot that is not above 0.
        pivot: f64,
    },
    /// A cluster whose latent effects have no mode that Newton's method finds.
    #[error(
        "the mode of the effects of cluster {cluster} was not found in {steps} Newton steps; scale the effects down"
    )]
    NoMode {
        /// Its index.
        cluster: usize,
        /// Steps taken at most.
        steps: usize,
    },
    /// Something that another argument needs.
    #[error("{needed_by} needs {what}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// What needs it.
        needed_by: &'static str,
    },
    /// A fault of one of many models.
    #[error("model {index}: {fault}")]
    Model {
        /// Its index.
        index: usize,
        /// What is wrong with it.
        fault: Box<KernelError>,
    },
    /// A fault of one of many parameter vectors.
    #[error("theta[{index}]: {fault}")]
    Theta {
        /// Its index.
        index: usize,
        /// What is wrong with it.
        fault: Box<KernelError>,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl KernelError {
    /// Memory for a part of something, told of as the whole: the bytes are those of the part and of what it had before.
    pub(crate) fn of(self, what: &'static str, before: usize) -> Self {
        match self {
            Self::Memory { bytes, .. } => Self::Memory { what, bytes: bytes.saturating_add(before) },
            other => other,
        }
    }

    /// A fault of the parameters with that index; an interruption and memory that is not there are nobody's.
    pub(crate) fn at_theta(self, index: usize) -> Self {
        match self {
            Self::Interrupted | Self::Memory { .. } => self,
            fault => Self::Theta { index, fault: Box::new(fault) },
        }
    }
}

/// A loss or derivative that stopped being finite.
#[derive(Clone, Copy, Debug)]
pub struct Divergence {
    /// The inner step.
    pub step: usize,
    /// The loss there.
    pub loss: f64,
}

/// What happened to one cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterStatus {
    /// The inner step at which the loss, or the gradient after it, stopped being finite.
    pub diverged_step: Option<usize>,
    /// Loss before adaptation.
    pub loss_before: f64,
    /// Loss after adaptation; where the cluster diverged, the loss at that step.
    pub loss_after: f64,
}

/// What a name stands for in a table of names.
///
/// # Errors
/// [`KernelError::Name`], with all names.
pub fn named<V: Copy>(what: &'static str, name: &str, table: &[(&str, V)]) -> Result<V, KernelError> {
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).ok_or_else(|| KernelError::Name {
        what,
        got: name.to_owned(),
        known: table.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", "),
    })
}

/// A number's range, as an error.
pub fn range(what: &'static str, got: f64, fits: bool, needed: &'static str) -> Result<(), KernelError> {
    if fits && got.is_finite() { Ok(()) } else { Err(KernelError::Range { what, got, needed }) }
}
