//! An AKS cluster's configuration on one page: what `facts show` prints.
