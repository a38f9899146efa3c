//! (`cargo loco generate worker` writes tests here.)

mod purge_groups;
