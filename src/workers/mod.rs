//! Work in the background. (`cargo loco generate worker` writes here.)
