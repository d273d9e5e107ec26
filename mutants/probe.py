"""Faults of the linear probe, of what it reads, and of a classifier's variations."""

from __future__ import annotations

from mutants.fault import faults

PROBE, TEST = "gibbsian/evaluation/metrics/probe.py", "tests/evaluation/test_probe.py::test"
CLASSIFIER, TEST_CLASSIFIER = (
    "gibbsian/evaluation/features/classifier.py",
    "tests/test_classifier.py::test",
)
NETWORKS = "tests/networks/test_networks.py::test_features_are_what_the_head_reads"

FAULTS = [
    *faults(
        PROBE,
        f"{TEST}_separable_features_have_no_error",
        ("if wrong <= fewest:", "if wrong < fewest:"),
        ("scale = torch.where(scale > 0, scale, 1.0)\n", "\n"),
        ("best != test.labels", "best == test.labels"),
    ),
    *faults(
        PROBE,
        f"{TEST}_labels_that_features_say_nothing_of_are_guessed",
        ("error * (1 - error) / len(test.labels)", "error / len(test.labels)"),
        ("for rows in (train, valid, test)\n    )", "for rows in (test, valid, test)\n    )"),
    ),
    *faults(
        PROBE,
        f"{TEST}_the_scale_of_features_does_not_matter_and_validation_chooses",
        ("if wrong <= fewest:", "if True:"),
        ("((rows.features.double() - mean) / scale)", "(rows.features.double() - mean)"),
    ),
    *faults(
        "gibbsian/networks/minibatch.py",
        NETWORKS,
        ("return torch.cat([phi, self.similarity(phi)], 1)", "return phi"),
    ),
    *faults(
        CLASSIFIER,
        f"{TEST_CLASSIFIER}_variations_keep_the_labels_of_their_pictures",
        ("classifier(variation(rows.x, rng))", "classifier(rows.x)"),
        (
            "(variation(rows.x, rng)), rows.target)",
            "(variation(rows.x, rng)), rows.target.flip(0))",
        ),
    ),
    *faults(
        CLASSIFIER,
        f"{TEST_CLASSIFIER}_fresh_variations_come_from_the_seed",
        (
            "        if variation is not None:\n",
            "        if variation is not None:\n            rng.manual_seed(seed)\n",
        ),
    ),
]
