"""Regions that come with the data, which Fast R-CNN classifies: kept in files, made by a method, or sent by a client.

    proposal_files       the file: boxes and scores of many images (.npz, .json, .mat)
      box_lists, mat_files   what .json and .mat files hold
    methods              pixels in, boxes and scores out: selective search, EdgeBoxes, a grid
      rpn                    the same from a trained detector
    searched_images      the images that proposals are made for
    making               all images of a data set through a method, into one file
    recall               how many objects the proposals of a file find
    check                validation: which records a file has no usable proposals for

Three ways into a detector, with one rule of what cannot be a box (`data.record_faults`):

    input_sources        training and evaluation: for each record, out of it or out of files
    prediction_sources   detection in image files: out of files, or made on the way
    serving_input        an exported model: what a client sends with its images
"""
