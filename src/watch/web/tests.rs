//! Pages as they come out.
