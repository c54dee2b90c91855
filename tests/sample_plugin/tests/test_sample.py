"""The maps keep the contract and what the backend declares."""

from intermodal.testing.conformance import conformance_suite

TestSample = conformance_suite("sample")
