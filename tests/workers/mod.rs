//! (`cargo loco generate worker` writes tests here.)
