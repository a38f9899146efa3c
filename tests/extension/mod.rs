//! The example application of docs/extending.md, which adds surveys to Salam.

mod surveys;
