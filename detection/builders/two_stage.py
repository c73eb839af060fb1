"""Message `FasterRcnn` -> meta_architectures.two_stage.TwoStage.

It is a Faster R-CNN, or an R-FCN if the second stage has an rfcn_box_predictor.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from detection.builders import anchor_generator, feature_extractor, hyperparams, losses, post_processing, stages
from detection.data.resize import Resizer
from detection.feature_extractors.two_stage import TwoStageExtractor
from detection.heads.dense import DenseHead, PredictorOptions
from detection.heads.position_sensitive import PositionSensitiveHead, PositionSensitiveOptions
from detection.heads.region import RegionHead, RegionHeadOptions
from detection.losses.weighted_softmax import WeightedSoftmax
from detection.meta_architectures.box_features import BoxFeatures, NoBoxFeatures
from detection.meta_architectures.fast_rcnn import GivenProposals
from detection.meta_architectures.faster_rcnn import CropRegions, RegionProposalNetwork, RpnSettings
from detection.meta_architectures.multibox_loss import LossTerms
from detection.meta_architectures.proposal_sampler import AllProposals, ProposalSampler
from detection.meta_architectures.proposals_only import ProposalsOnly
from detection.meta_architectures.rfcn import PositionSensitiveRegions
from detection.meta_architectures.second_stage import SecondStage
from detection.meta_architectures.target_normalization import Identity, TargetNormalization
from detection.meta_architectures.two_stage import Proposer, TwoStage
from detection.networks.layers import Conv
from detection.ops import roi
from detection.ops.anchors import AnchorGenerator, MultiscaleAnchors
from detection.ops.mining import NoMining
from detection.ops.nms import MulticlassNms
from detection.ops.samplers import BalancedSampler
from detection.protos import anchor_generator_pb2, box_predictor_pb2, faster_rcnn_pb2


def build(message: faster_rcnn_pb2.FasterRcnn, resizer: Resizer) -> TwoStage:
    """A new Faster R-CNN or R-FCN for the output of `resizer`."""
    return _build(message)


def build_fast_rcnn(message: faster_rcnn_pb2.FasterRcnn, resizer: Resizer) -> TwoStage:
    """A new Fast R-CNN, whose proposals are given with the images; first-stage fields have no effect."""
    return _build(message, GivenProposals())


def _build(message: faster_rcnn_pb2.FasterRcnn, given: GivenProposals | None = None) -> TwoStage:
    predictor = message.second_stage_box_predictor
    whole_map = predictor.WhichOneof("box_predictor_oneof") == "rfcn_box_predictor"
    extractor = feature_extractor.build_two_stage(message.feature_extractor, whole_map)
    proposer: Proposer = given or _region_proposal_network(message, extractor.keras_form)
    two_stages = proposer.given or message.number_of_stages > 1
    return TwoStage(
        name="fast_rcnn" if proposer.given else "rfcn" if whole_map else "faster_rcnn",
        num_classes=message.num_classes,
        extractor=extractor,
        proposer=proposer,
        second_stage=_second_stage(message, extractor) if two_stages else ProposalsOnly(message.num_classes),
    )


def _second_stage(message: faster_rcnn_pb2.FasterRcnn, extractor: TwoStageExtractor) -> SecondStage:
    assigner = stages.second_assigner(message)
    normalization = (
        TargetNormalization(message.num_classes, assigner.box_coder.code_size)
        if message.second_stage_normalize_targets
        else Identity(message.num_classes)
    )
    return SecondStage(
        num_classes=message.num_classes,
        regions=_regions(message, extractor),
        assigner=assigner,
        sampler=_sampler(message),
        loss_terms=_region_losses(message),
        postprocessing=post_processing.build(message.second_stage_post_processing),
        normalization=normalization,
        add_groundtruth=message.second_stage_add_groundtruth,
        box_features=_box_features(message),
    )


def _box_features(message: faster_rcnn_pb2.FasterRcnn) -> BoxFeatures | NoBoxFeatures:
    final, cropped = message.output_final_box_features, message.output_final_box_rpn_features
    return BoxFeatures(final, cropped) if final or cropped else NoBoxFeatures()


def _anchors(message: anchor_generator_pb2.AnchorGenerator) -> AnchorGenerator:
    """Anchor generator of the first stage; a pyramid's anchors are centred on their cells for any image size.

    The reference does not pass the image size to the anchor generators of its two-stage detectors.
    """
    anchors = anchor_generator.build(message)
    return dataclasses.replace(anchors, centred=True) if isinstance(anchors, MultiscaleAnchors) else anchors


def _region_proposal_network(message: faster_rcnn_pb2.FasterRcnn, keras_form: bool) -> RegionProposalNetwork:
    """The RPN; its convolution has a ReLU6 activation regardless of its hyperparameters, as in the reference.

    In the Keras form its batch norm is trained if the extractor's is.
    """
    anchors = _anchors(message.first_stage_anchor_generator)
    hyper = hyperparams.build(message.first_stage_box_predictor_conv_hyperparams)
    if keras_form:
        hyper = hyper.as_keras() if message.feature_extractor.batch_norm_trainable else hyper.frozen()
    depth, size, rate = (
        message.first_stage_box_predictor_depth,
        message.first_stage_box_predictor_kernel_size,
        message.first_stage_atrous_rate,
    )
    most = message.first_stage_max_proposals
    assigner = stages.first_assigner(message)
    options = PredictorOptions(hyper, code_size=assigner.box_coder.code_size)
    return RegionProposalNetwork(
        conv=Conv("Conv", depth, size, dataclasses.replace(hyper, activation=tf.nn.relu6), rate=rate),
        predictor=DenseHead(anchors.num_per_location, 2, options, "FirstStageBoxPredictor"),
        settings=RpnSettings(
            anchors=anchors,
            assigner=assigner,
            loss_terms=LossTerms(
                localization=stages.localization(message.first_stage_localization_loss),
                classification=WeightedSoftmax(1.0),
                localization_weight=message.first_stage_localization_loss_weight,
                classification_weight=message.first_stage_objectness_loss_weight,
            ),
            sampler=BalancedSampler(message.first_stage_positive_balance_fraction),
            minibatch=message.first_stage_minibatch_size,
            nms=MulticlassNms(
                message.first_stage_nms_score_threshold, message.first_stage_nms_iou_threshold, most, most
            ),
            clip_anchors=message.clip_anchors_to_image,
        ),
    )


def _regions(
    message: faster_rcnn_pb2.FasterRcnn, extractor: TwoStageExtractor
) -> CropRegions | PositionSensitiveRegions:
    predictor = message.second_stage_box_predictor
    if predictor.HasField("rfcn_box_predictor"):
        options = _position_sensitive(predictor.rfcn_box_predictor, extractor.stride)
        return PositionSensitiveRegions(tail=extractor.tail, head=PositionSensitiveHead(message.num_classes, options))
    return CropRegions(
        crop=_crop(message, extractor),
        tail=extractor.tail,
        head=RegionHead(message.num_classes, _region_head(predictor.mask_rcnn_box_predictor, extractor.keras_form)),
    )


def _region_head(message: box_predictor_pb2.MaskRCNNBoxPredictor, keras_form: bool) -> RegionHeadOptions:
    return RegionHeadOptions(
        hyperparams=hyperparams.build(message.fc_hyperparams),
        code_size=message.box_code_size,
        dropout_keep=message.dropout_keep_probability if message.use_dropout else None,
        share_box=message.share_box_across_classes,
        separate_dropout=keras_form,
        box_initializer=(
            hyperparams.initializer(message.box_initializer) if message.HasField("box_initializer") else None
        ),
    )


def _position_sensitive(message: box_predictor_pb2.RfcnBoxPredictor, stride: int) -> PositionSensitiveOptions:
    bins, crop = (
        (message.num_spatial_bins_height, message.num_spatial_bins_width),
        (
            message.crop_height,
            message.crop_width,
        ),
    )
    return PositionSensitiveOptions(
        hyperparams=hyperparams.build(message.conv_hyperparams),
        crop=(
            roi.PositionSensitiveAveragePool(bins, stride)
            if message.average_pool
            else roi.PositionSensitiveCrop(bins, crop)
        ),
        num_bins=bins[0] * bins[1],
        depth=message.depth,
        code_size=message.box_code_size,
    )


def _crop(message: faster_rcnn_pb2.FasterRcnn, extractor: TwoStageExtractor) -> roi.OneMap | roi.MultilevelCrop:
    """Crops regions from one map or from a pyramid.

    `use_matmul_crop_and_resize` selects the reference's crop in which the last samples count as samples of the map's
    last cells even if rounding moves them beyond.
    """
    size = (message.initial_crop_size - message.maxpool_kernel_size) // message.maxpool_stride + 1
    if message.roi_max_pool:
        return roi.OneMap(roi.RoiMaxPool(size, extractor.stride))
    op = roi.CropAndResize(message.initial_crop_size, message.maxpool_kernel_size, message.maxpool_stride)
    return roi.MultilevelCrop(op) if extractor.pyramid or message.use_matmul_crop_and_resize else roi.OneMap(op)


def _sampler(message: faster_rcnn_pb2.FasterRcnn) -> ProposalSampler | AllProposals:
    """Samples proposals; hard example mining uses all of them."""
    if message.HasField("hard_example_miner"):
        return AllProposals()
    return ProposalSampler(message.second_stage_batch_size, message.second_stage_balance_fraction)


def _region_losses(message: faster_rcnn_pb2.FasterRcnn) -> LossTerms:
    """Losses of the second stage; softmax if the config names none, as in the reference."""
    named = message.second_stage_classification_loss.WhichOneof("classification_loss")
    classification = losses.classification(message.second_stage_classification_loss) if named else None
    weights = (message.second_stage_classification_loss_weight, message.second_stage_localization_loss_weight)
    mines = message.HasField("hard_example_miner")
    return LossTerms(
        localization=stages.localization(message.second_stage_localization_loss),
        classification=classification or WeightedSoftmax(1.0),
        localization_weight=message.second_stage_localization_loss_weight,
        classification_weight=message.second_stage_classification_loss_weight,
        miner=losses.miner(message.hard_example_miner, *weights) if mines else NoMining(),
    )
