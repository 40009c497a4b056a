"""The compiled prefix attention for CPUs: C++, its compilation at installation, and its loading."""
