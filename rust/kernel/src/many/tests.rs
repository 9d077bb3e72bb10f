//! The trainer of many models, beside closed forms and finite differences.
