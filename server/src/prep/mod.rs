//! Write requests become transactions here. Pure.
