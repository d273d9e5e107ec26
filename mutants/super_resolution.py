"""Faults of super-resolution: resizing, wavelets, the energy, both stages, inference, tiles, measures."""

from __future__ import annotations

from mutants.fault import faults

METHOD, ENERGY = "gibbsian/methods/super_resolution.py", "gibbsian/methods/completion.py"
DESCENT, IMAGING = "gibbsian/methods/descent.py", "gibbsian/core/imaging.py"
WAVES, NETS = "gibbsian/networks/scattering.py", "gibbsian/networks/super_resolution.py"
PRETRAINED, TILES = "gibbsian/networks/pretrained.py", "gibbsian/models/upscaling.py"
PHOTOS, MEASURES = "gibbsian/data/patches.py", "gibbsian/evaluation/metrics/image_quality.py"
TEST, TEST_NETS = (
    "tests/methods/test_super_resolution.py::test",
    "tests/networks/test_super_resolution.py::test",
)
TEST_IMAGING, TEST_TILES = "tests/test_imaging.py::test", "tests/test_upscaling.py::test"
TEST_PHOTOS, TEST_MEASURES = (
    "tests/data/test_photographs.py::test",
    "tests/evaluation/test_pictures.py::test",
)

FAULTS = [
    *faults(
        IMAGING,
        f"{TEST_IMAGING}_resizing_is_pillow_s",
        (
            'return interpolate(y, size, mode="bicubic", antialias=True)',
            'return interpolate(y, size, mode="bicubic")',
        ),
        (
            'return interpolate(x, size, mode="bicubic", antialias=True)',
            'return interpolate(x, size, mode="bicubic")',
        ),
    ),
    *faults(
        IMAGING,
        f"{TEST_IMAGING}_total_variation_in_closed_form",
        (".abs().sum((0, 2, 3, 4))", ".square().sum((0, 2, 3, 4))"),
        ("pad(y.diff(dim=3), (0, 1))", "pad(y.diff(dim=2), (0, 0, 0, 1))"),
    ),
    *faults(
        IMAGING,
        f"{TEST_IMAGING}_the_variational_inverse_at_its_limits",
        ("q = (q + sigma * (U(ahead) - x)) / (1.0 + sigma)", "q = q + sigma * (U(ahead) - x)"),
        (".clamp(-weight, weight)", ".clamp(-1.0, 1.0)"),
    ),
    *faults(
        WAVES,
        f"{TEST_NETS}_wavelets_have_mean_zero_and_the_frequency_response_of_the_formula",
        ("wave = wave - envelope * (wave.sum() / envelope.sum())\n    return", "return"),
        ("(slant * across).square()", "across.square()"),
        ("return wave * slant / (2", "return wave / (2"),
    ),
    *faults(
        WAVES,
        f"{TEST_NETS}_first_order_maps_of_a_wave_are_half_the_frequency_response",
        ("(channels, 2, self.orientations)", "(channels, self.orientations, 2)"),
        ("return (parts + FLOOR).sqrt()", "return (parts + FLOOR)"),
        ("math.pi * turn / self", "2 * math.pi * turn / self"),
    ),
    *faults(
        WAVES,
        f"{TEST_NETS}_second_order_sees_a_modulated_wave_where_first_order_averages_it",
        ("self.modulus(first, later)", "self.modulus(y, later)"),
    ),
    *faults(
        WAVES,
        f"{TEST_NETS}_scattering_counts_sizes_shifts_and_learns",
        ("range(1, self.scales - j)", "range(self.scales - j)"),
        ("[radius] * 4", "[0] * 4"),
    ),
    *faults(
        NETS,
        f"{TEST_NETS}_point_networks_enlarge_and_the_sub_pixel_one_starts_as_the_interpolation",
        ("return upscale(x, self.factor) + self.layers(x)", "return self.layers(x)"),
    ),
    *faults(
        NETS,
        f"{TEST_NETS}_an_untrained_predictor_predicts_that_the_estimate_is_right",
        ("return statistics + self.layers(statistics)", "return self.layers(statistics)"),
    ),
    *faults(
        PRETRAINED,
        f"{TEST_NETS}_missing_weights_are_a_sentence",
        ("if options.depth > 1 + len(FIRES):", "if options.depth > 9 + len(FIRES):"),
    ),
    *faults(
        ENERGY,
        f"{TEST}_the_energy_is_the_squared_distance_of_statistics_and_what_inference_adds",
        ("/ self.scale", "* self.scale"),
        ("value + self.tv *", "value - self.tv *"),
        ("value + self.consistency *", "value - self.consistency *"),
        ("error.square().flatten(1).sum(1)", "error.square().flatten(1).mean(1)"),
    ),
    *faults(
        DESCENT,
        f"{TEST}_descent_never_rises_and_finds_minima_of_any_curvature",
        ("falls = new_value < value", "falls = new_value < value.max()"),
        ("y - rows * slope", "y + rows * slope"),
        ("torch.where(falls, GROW * h, SHRINK * h)", "h"),
        ("(y - rows * slope).clamp(*box)", "(y - rows * slope)"),
    ),
    *faults(
        METHOD,
        f"{TEST}_point_and_predictor_descend_their_regressions",
        ("(self.point(x) - y).square().mean()", "(self.point(x) - y).abs().mean()"),
        (
            "error = (self.predictor(estimated) - truth) / self.scale",
            "error = self.predictor(estimated) - truth",
        ),
    ),
    *faults(
        METHOD,
        f"{TEST}_fine_tuning_lowers_the_truth_and_raises_the_negatives",
        ("torch.relu(self.margin - model).mean()", "torch.relu(self.margin - model.mean())"),
        ("else -model.mean()", "else model.mean()"),
        ("value = truth.mean() + rest", "value = rest - truth.mean()"),
        ("+ self.decay * self", "- self.decay * self"),
        (
            "self.predictor(self.statistics(estimate))",
            "self.predictor(self.statistics(estimate).detach())",
        ),
    ),
    *faults(
        METHOD,
        f"{TEST}_the_loss_with_a_margin_is_bounded_below_and_without_one_is_not",
        ("torch.relu(self.margin - model).mean()", "(self.margin - model).mean()"),
    ),
    *faults(
        METHOD,
        f"{TEST}_units_of_statistics_are_their_errors_at_the_updated_point_estimate",
        ("1.0 if index == 0 else 1.0 - MEMORY", "1.0 - MEMORY"),
        ("1.0 if index == 0 else 1.0 - MEMORY", "1.0 if index == 0 else MEMORY"),
    ),
    *faults(
        METHOD,
        f"{TEST}_stages_in_their_order",
        ("index < self.fine_tune_from:", "index <= self.fine_tune_from:"),
        ("if self.fine_tune_from == 0 or index", "if index"),
    ),
    *faults(
        METHOD,
        f"{TEST}_negatives_are_no_longer_than_asked_and_without_gradients",
        ("self.negative, self.negative_steps, rng)", "self.negative, self.steps, rng)"),
    ),
    *faults(
        METHOD,
        f"{TEST}_langevin_samples_of_identity_statistics_have_the_gibbs_law_s_moments",
        (
            "chain = ula(energy, self.step_size, box=BOX)",
            "chain = ula(energy, 20 * self.step_size, box=BOX)",
        ),
        ("return self.squares.sqrt().clamp_min(1e-4)", "return self.squares.clamp_min(1e-4)"),
    ),
    *faults(
        METHOD,
        f"{TEST}_samples_of_any_size_given_a_small_picture",
        (
            "variational_inverse(x, self.factor, self.tv,",
            "variational_inverse(x, self.factor, 2 * self.tv,",
        ),
        ("if given.ndim != 3 or given.shape[0] != channels:", "if given.ndim != 3:"),
    ),
    *faults(
        TILES,
        f"{TEST_TILES}_tiles_of_a_local_estimate_make_the_whole",
        ("where[channels] += weight", "where[channels] += 1"),
        (
            "band = torch.cat([band[:, done:], torch.zeros_like(band[:, :done])], 1)",
            "band = torch.zeros_like(band)",
        ),
    ),
    *faults(
        TILES,
        f"{TEST_TILES}_tiles_cover_a_picture_and_overlap",
        ("range(0, last, tile - OVERLAP)", "range(0, last, tile)"),
    ),
    *faults(
        TILES,
        f"{TEST_TILES}_black_and_white_are_those_of_the_training_data",
        ("units.levels[0] - 1.0 if units.levels[0]", "2.0 * units.scale[0] if units.levels[0]"),
    ),
    *faults(
        TILES,
        f"{TEST_TILES}_colours_through_a_model_of_grey_and_grey_through_one_of_colours",
        ("torch.linalg.inv(matrix), both", "matrix, both"),
    ),
    *faults(
        PHOTOS,
        f"{TEST_PHOTOS}_whole_pictures_are_held_out",
        ("[n for n in rest if n not in valid] or rest", "rest"),
    ),
    *faults(
        PHOTOS,
        f"{TEST_PHOTOS}_patches_are_squares_of_the_pictures_and_both_ways_round",
        ("patch[:, :, ::-1] if", "patch[:, ::-1] if"),
        ("rng.integers(extent - side + 1)", "rng.integers(extent - side)"),
    ),
    *faults(
        PHOTOS,
        f"{TEST_PHOTOS}_large_pictures_give_more_patches",
        ("p=places / places.sum()", "p=None"),
    ),
    *faults(
        MEASURES,
        f"{TEST_MEASURES}_psnr_and_ssim_are_scikit_image_s",
        ("c1, c2 = (0.01 * PEAK) ** 2", "c1, c2 = 0.01 * PEAK"),
        ("SIGMA = 11, 1.5", "SIGMA = 11, 2.0"),
        ("torch.log10(PEAK**2 / error)", "torch.log10(PEAK / error)"),
    ),
    *faults(
        MEASURES,
        f"{TEST_MEASURES}_texture_distance_in_closed_form",
        (".sort(1).values\n", "\n"),
        ("* 255 / PEAK", "* 255"),
    ),
    *faults(
        MEASURES,
        f"{TEST_MEASURES}_perceptual_distance_is_that_of_directions",
        ("(normalize(one) - normalize(other))", "(one - other)"),
    ),
]
