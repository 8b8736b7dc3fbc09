//! vantage
