pub mod lpt;
