"""Region proposals for Fast R-CNN: read from records or files, computed by a method, or sent by a client.

    proposal_files       files with the boxes and scores of many images (.npz, .json, .mat)
      box_lists, mat_files   readers of .json and .mat files
    methods              functions from pixels to boxes and scores: selective search, EdgeBoxes, a grid
      rpn                    the same from a trained detector
    searched_images      the images for which proposals are made
    making               applies a method to all images of a data set and writes one file
    recall               the fraction of objects that the proposals of a file cover
    check                validation: records for which a file has no usable proposals

Three ways into a detector, with one definition of an invalid box (`data.record_faults`):

    input_sources        training and evaluation: for each record, from the record or from files
    prediction_sources   detection in image files: from files, or computed
    serving_input        an exported model: sent by a client with its images
"""
